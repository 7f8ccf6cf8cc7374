"""The table of versions: rows are drawn when they are looked at, and the cursor stays on its version."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from govma_console import formats
from govma_console.version_row import VersionRow
from govma_core.text.language import tr

GAP = 1
_FLEXIBLE_LEAST = 18


@dataclass(frozen=True, slots=True)
class Column:
    """One column; width 0 takes the rest of the line. Where the line is too narrow, the lowest `keep` goes first.

    `short` is the text for a cell that the whole text does not fit in; without it, the text is cut.
    """

    key: str
    title: str
    width: int
    keep: int
    text: Callable[[VersionRow], str]
    order: Callable[[VersionRow], Any]
    right: bool = False
    short: Callable[[VersionRow], str] | None = None


def _manifest_text(name: str) -> Callable[[VersionRow], str]:
    return lambda row: getattr(row.manifest, name) if row.manifest else ""


def _text_order(name: str) -> Callable[[VersionRow], Any]:
    return lambda row: getattr(row.manifest, name).casefold() if row.manifest else ""


def _size_text(name: str) -> Callable[[VersionRow], str]:
    return lambda row: formats.size(getattr(row.usage, name)) if row.usage else "…"


def _size_order(name: str) -> Callable[[VersionRow], Any]:
    return lambda row: getattr(row.usage, name) if row.usage else -1


COLUMNS: tuple[Column, ...] = (
    Column(
        "made",
        tr("Version"),
        16,
        9,
        lambda row: formats.moment(row.epoch, seconds=row.needs_seconds) or row.name,
        lambda row: row.name,
        short=lambda row: formats.moment(row.epoch, seconds=row.needs_seconds, year=not row.needs_seconds) or row.name,
    ),
    Column(
        "commit",
        tr("Commit"),
        9,
        6,
        lambda row: row.manifest.commit[:9] if row.manifest else "-",
        _text_order("commit"),
    ),
    Column("subject", tr("Subject"), 0, 9, lambda row: row.subject, _text_order("subject")),
    Column("author", tr("Author"), 12, 2, _manifest_text("author"), _text_order("author")),
    Column(
        "age",
        tr("Age"),
        max(4, cell_len(tr("now"))),
        5,
        lambda row: formats.age(row.epoch),
        lambda row: -row.epoch,
        right=True,
    ),
    Column("size", tr("Size"), 6, 7, _size_text("size"), _size_order("size"), right=True),
    Column("exclusive", tr("Exclusive"), 9, 3, _size_text("exclusive"), _size_order("exclusive"), right=True),
    Column("state", tr("State"), 10, 8, lambda row: row.translated_state, lambda row: row.state),
    Column("by", tr("By"), 10, 1, _manifest_text("by"), _text_order("by")),
)


def needs(rows: Iterable[VersionRow], sort_key: str) -> dict[str, int]:
    """Return the width that columns need for their present texts: whole words, whole times, the title with its mark."""
    there = list(rows)
    needed = {
        "state": max((cell_len(text) for text in {row.translated_state for row in there}), default=0),
        "made": max(
            (cell_len(formats.moment(row.epoch, seconds=True)) for row in there[:1] if row.needs_seconds), default=0
        ),
    }
    title = next(column.title for column in COLUMNS if column.key == sort_key)
    return needed | {sort_key: max(needed.get(sort_key, 0), cell_len(title) + 2)}


def fit(
    width: int, needed: Mapping[str, int] = MappingProxyType({}), columns: Sequence[Column] = COLUMNS
) -> list[tuple[Column, int]]:
    """Return the columns that fit in `width` cells, each with its width: what it needs, as far as there is room."""
    fitting = list(columns)

    def left() -> int:
        return width - sum(column.width for column in fitting) - GAP * (len(fitting) - 1)

    while left() < _FLEXIBLE_LEAST and len(fitting) > 2:
        fitting.remove(min((column for column in fitting if column.width), key=lambda column: column.keep))
    spare = max(0, left() - _FLEXIBLE_LEAST)
    widths = {column.key: column.width for column in fitting}
    for column in sorted((column for column in fitting if column.width), key=lambda column: -column.keep):
        more = min(spare, max(0, needed.get(column.key, 0) - column.width))
        widths[column.key] += more
        spare -= more
    flexible = max(1, width - sum(widths.values()) - GAP * (len(fitting) - 1))
    return [(column, widths[column.key] or flexible) for column in fitting]


def matches(row: VersionRow, words: str) -> bool:
    """Tell whether a filter's words are all found somewhere in a row, whatever their case and accents."""
    manifest = row.manifest
    texts = [row.name, row.state, row.translated_state, *(("live", tr("live")) if row.is_live else ())]
    if manifest:
        texts += [manifest.commit, manifest.subject, manifest.author, manifest.by, manifest.ref]
    text = _plain("\n".join(texts))
    return all(word in text for word in _plain(words).split())


def _plain(text: str) -> str:
    """Return a text without case and accents, so that `video` matches `vídeo`, too."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in apart if not unicodedata.combining(character))


_MARKS = 3
_CURSOR = "›"  # noqa: RUF001
_STATES = {"good": "good", "pinned": "pinned", "bad": "bad", "failed": "bad", "incomplete": "bad"}


class VersionTable(ScrollView, can_focus=True):
    """The versions, one a line, below a header that stays. `cursor` is the name of the selected version."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"version-table--{part}"
        for part in ("header", "sorted", "row", "current", "cursor", "dim", "good", "bad", "pinned", "marker")
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("home,g", "move(-1000000)", show=False),
        Binding("end,G", "move(1000000)", show=False),
    ]

    cursor: str | None = None

    class Selected(Message):
        """The cursor is on another version, or there is none any more."""

    class Opened(Message):
        """A version was double-clicked."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.sort_key = "made"
        self.descending = True
        self.filter_words = ""
        self.rows: list[VersionRow] = []
        self._all: tuple[VersionRow, ...] = ()
        self._ages: tuple[str, ...] = ()
        self._needs: dict[str, int] = {}

    def show(self, rows: tuple[VersionRow, ...]) -> None:
        """Show these versions; the cursor stays where it is if its version is still there."""
        if rows == self._all:
            return
        self._all = rows
        self._arrange()

    def filter(self, words: str) -> None:
        """Show only versions that match all words; '' shows all."""
        self.filter_words = words
        self._arrange()

    def sort(self, key: str, *, descending: bool | None = None) -> None:
        """Sort by a column; the same column again turns the order round."""
        if descending is None:
            descending = not self.descending if key == self.sort_key else key in ("made", "size", "exclusive")
        self.sort_key, self.descending = key, descending
        self._arrange()

    def action_reverse(self) -> None:
        """Turn the order round."""
        self.sort(self.sort_key)

    def action_sort(self) -> None:
        """Sort by the next column of those that are shown."""
        keys = [column.key for column, _ in fit(self._room(), self._needs)]
        self.sort(keys[(keys.index(self.sort_key) + 1) % len(keys)] if self.sort_key in keys else keys[0])

    def refresh_ages(self) -> None:
        """Draw again when an age reads otherwise than before."""
        ages = tuple(formats.age(row.epoch) for row in self.rows)
        if ages != self._ages:
            self._ages = ages
            self.refresh()

    @property
    def position(self) -> int:
        """Return the line of the cursor among the rows shown; 0 when there is none."""
        return next((number for number, row in enumerate(self.rows) if row.name == self.cursor), 0)

    def _arrange(self) -> None:
        before = self.position
        column = next(one for one in COLUMNS if one.key == self.sort_key)
        rows = [row for row in self._all if matches(row, self.filter_words)] if self.filter_words else list(self._all)
        rows.sort(key=lambda row: row.name, reverse=True)
        rows.sort(key=lambda row: column.order(row), reverse=self.descending)
        self.rows, self._needs = rows, needs(rows, self.sort_key)
        self.virtual_size = Size(0, len(rows) + 1)
        if not any(row.name == self.cursor for row in rows):
            # Its version is removed or filtered out: the cursor goes to the version on its line.
            fallback = next((row.name for row in rows if row.is_live), None) if self.cursor is None else None
            self._put_cursor(fallback or (rows[min(before, len(rows) - 1)].name if rows else None))
        self.refresh()

    def _put_cursor(self, name: str | None) -> None:
        if name != self.cursor:
            self.cursor = name
            self.post_message(self.Selected())
        self._keep_in_sight()
        self.refresh()

    def _keep_in_sight(self) -> None:
        visible = self.size.height - 1
        if visible < 1:
            return
        top, line = self.scroll_offset.y, self.position
        if line < top or line >= top + visible:
            target = line if line < top else line - visible + 1
            self.scroll_to(y=target, animate=False, force=True)

    def on_resize(self) -> None:
        """Keep the cursor in sight."""
        self._keep_in_sight()

    def action_move(self, lines: int) -> None:
        """Move the cursor."""
        if self.rows:
            line = min(max(0, self.position + lines), len(self.rows) - 1)
            self._put_cursor(self.rows[line].name)

    def action_page(self, pages: int) -> None:
        """Move the cursor by what is visible."""
        self.action_move(pages * max(1, self.size.height - 2))

    def on_click(self, event: events.Click) -> None:
        """Select a row; sort by a header; open on a double click."""
        if event.y == 0:
            column = self._column_at(event.x)
            if column is not None:
                self.sort(column.key)
            return
        line = self.scroll_offset.y + event.y - 1
        if 0 <= line < len(self.rows):
            self._put_cursor(self.rows[line].name)
            if event.chain == 2:
                self.post_message(self.Opened())

    def _column_at(self, x: int) -> Column | None:
        at = _MARKS
        for column, width in fit(self._room(), self._needs):
            if at <= x < at + width + GAP:
                return column
            at += width + GAP
        return None

    def _room(self) -> int:
        return self.scrollable_content_region.width - _MARKS

    def render_line(self, y: int) -> Strip:
        """Draw one line."""
        width = self.scrollable_content_region.width
        if y == 0:
            return self._header(width)
        line = self.scroll_offset.y + y - 1
        if line >= len(self.rows):
            base = self._style("row")
            if line == 0:
                text = tr("Nothing matches the filter.") if self.filter_words else tr("There are no versions yet.")
                return Strip([Segment(f"   {text}", self._style("dim"))]).adjust_cell_length(width, base)
            return Strip.blank(width, base)
        return self._row(self.rows[line], width)

    def _header(self, width: int) -> Strip:
        plain, marked = self._style("header"), self._style("sorted")
        segments = [Segment(" " * _MARKS, plain)]
        for column, room in fit(self._room(), self._needs):
            is_sorted = column.key == self.sort_key
            title = column.title
            if is_sorted:
                # A letter where there is only ASCII: it must not look like the end of the word.
                gap = " " * (cell_len(title) + 2 <= room)
                title += gap + ("▼" if self.descending else "▲")
            segments += [Segment(_cell(title, room, column.right), marked if is_sorted else plain)]
            segments += [Segment(" " * GAP, plain)]
        return Strip(segments).adjust_cell_length(width, plain)

    def _row(self, row: VersionRow, width: int) -> Strip:
        chosen = row.name == self.cursor
        base = self._style("cursor") if chosen else self._style("current" if row.is_live else "row")
        marker = base if chosen else self._style("marker")
        segments = [Segment(_CURSOR if chosen else " ", base), Segment("● " if row.is_live else "  ", marker)]
        for column, room in fit(self._room(), self._needs):
            style = base
            if not chosen:
                if column.key == "state":
                    style = self._style(_STATES.get(row.state.partition(" ")[0], "dim"))
                elif column.key in ("age", "author", "by", "commit") or (column.key == "subject" and not row.manifest):
                    style = self._style("dim") if not row.is_live else base
            text = column.text(row)
            if column.short and cell_len(text) > room:
                text = column.short(row)
            segments += [Segment(_cell(text, room, column.right), style), Segment(" " * GAP, base)]
        return Strip(segments).adjust_cell_length(width, base)

    def _style(self, part: str) -> Style:
        return self.get_component_rich_style(f"version-table--{part}")


def _cell(text: str, width: int, right: bool) -> str:
    length = cell_len(text)
    if length > width:
        text = set_cell_size(text, width - 1).rstrip() + "…"
        length = cell_len(text)
    room = " " * (width - length)
    return room + text if right else text + room
