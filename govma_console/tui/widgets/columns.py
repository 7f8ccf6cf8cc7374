"""The columns of the version table: what each says, how it sorts, and which give way when it gets narrow."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from rich.cells import cell_len

from govma_console.tui import formats
from govma_console.tui.disk import Sizes
from govma_console.tui.snapshot import VersionRow
from govma_core.language import tr

GAP = 1
_FLEXIBLE_LEAST = 18


@dataclass(frozen=True, slots=True)
class Column:
    """One column; width 0 takes what is left. `keep` says which go first when there is no room: the lowest.

    `short` is what it says where its text is too long, if not the text's beginning.
    """

    key: str
    title: str
    width: int
    keep: int
    text: Callable[[VersionRow, Sizes | None], str]
    order: Callable[[VersionRow, Sizes | None], Any]
    right: bool = False
    short: Callable[[VersionRow], str] | None = None


def _manifest_text(name: str) -> Callable[[VersionRow, Sizes | None], str]:
    return lambda row, sizes: getattr(row.manifest, name) if row.manifest else ""


def _text_order(name: str) -> Callable[[VersionRow, Sizes | None], Any]:
    return lambda row, sizes: getattr(row.manifest, name).casefold() if row.manifest else ""


def _size_text(name: str) -> Callable[[VersionRow, Sizes | None], str]:
    return lambda row, sizes: formats.size(getattr(sizes, name)) if sizes else "…"


def _size_order(name: str) -> Callable[[VersionRow, Sizes | None], Any]:
    return lambda row, sizes: getattr(sizes, name) if sizes else -1


COLUMNS: tuple[Column, ...] = (
    Column(
        "made",
        tr("Version"),
        16,
        9,
        lambda row, sizes: formats.moment(row.made, seconds=row.twin) or row.name,
        lambda row, sizes: row.name,
        short=lambda row: formats.moment(row.made, seconds=row.twin, year=not row.twin) or row.name,
    ),
    Column(
        "commit",
        tr("Commit"),
        9,
        6,
        lambda row, sizes: row.manifest.commit[:9] if row.manifest else "-",
        _text_order("commit"),
    ),
    Column(
        "subject",
        tr("Subject"),
        0,
        9,
        lambda row, sizes: row.subject,
        _text_order("subject"),
    ),
    Column("author", tr("Author"), 12, 2, _manifest_text("author"), _text_order("author")),
    Column(
        "age",
        tr("Age"),
        max(4, cell_len(tr("now"))),
        5,
        lambda row, sizes: formats.age(row.made),
        lambda row, sizes: -row.made,
        right=True,
    ),
    Column(
        "size",
        tr("Size"),
        6,
        7,
        _size_text("size"),
        _size_order("size"),
        right=True,
    ),
    Column(
        "exclusive",
        tr("Exclusive"),
        9,
        3,
        _size_text("exclusive"),
        _size_order("exclusive"),
        right=True,
    ),
    Column("state", tr("State"), 10, 8, lambda row, sizes: row.shown_state, lambda row, sizes: row.state),
    Column("by", tr("By"), 10, 1, _manifest_text("by"), _text_order("by")),
)


def needs(rows: Iterable[VersionRow], sort_key: str) -> dict[str, int]:
    """Return the width that columns need for what they say now: whole words, whole times, the title with its mark."""
    there = list(rows)
    needed = {
        "state": max((cell_len(text) for text in {row.shown_state for row in there}), default=0),
        "made": max((cell_len(formats.moment(row.made, seconds=True)) for row in there[:1] if row.twin), default=0),
    }
    title = next(column.title for column in COLUMNS if column.key == sort_key)
    return needed | {sort_key: max(needed.get(sort_key, 0), cell_len(title) + 2)}


def fit(
    width: int, needed: Mapping[str, int] = MappingProxyType({}), columns: Sequence[Column] = COLUMNS
) -> list[tuple[Column, int]]:
    """Return the columns that have room in `width` cells, each with its width: what it needs, where that is left."""
    kept = list(columns)

    def left() -> int:
        return width - sum(column.width for column in kept) - GAP * (len(kept) - 1)

    while left() < _FLEXIBLE_LEAST and len(kept) > 2:
        kept.remove(min((column for column in kept if column.width), key=lambda column: column.keep))
    spare = max(0, left() - _FLEXIBLE_LEAST)
    widths = {column.key: column.width for column in kept}
    for column in sorted((column for column in kept if column.width), key=lambda column: -column.keep):
        more = min(spare, max(0, needed.get(column.key, 0) - column.width))
        widths[column.key] += more
        spare -= more
    flexible = max(1, width - sum(widths.values()) - GAP * (len(kept) - 1))
    return [(column, widths[column.key] or flexible) for column in kept]


def matches(row: VersionRow, wanted: str) -> bool:
    """Tell whether a filter's words are all found somewhere in a row, whatever their case and accents."""
    manifest = row.manifest
    texts = [row.name, row.state, row.shown_state, *(("live", tr("live")) if row.current else ())]
    if manifest:
        texts += [manifest.commit, manifest.subject, manifest.author, manifest.by, manifest.ref]
    text = _plain("\n".join(texts))
    return all(word in text for word in _plain(wanted).split())


def _plain(text: str) -> str:
    """Return a text without case and accents: who looks for `video` means `vídeo`, too."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in apart if not unicodedata.combining(character))
