"""Sweeping the hidden names of ours beside the versions: what killed runs left there."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass

from govma_core import safefs
from govma_core.clearing import clear, clear_marked
from govma_core.language import tr
from govma_core.versions.names import INCOMING_PREFIX, LINK_PREFIX, OURS, REMOVED_PREFIX, STAGING_PREFIX

_WHAT = {
    LINK_PREFIX: tr("a link that an interrupted promotion had staged"),
    INCOMING_PREFIX: tr("an incomplete copy that an interrupted run left"),
    STAGING_PREFIX: tr("files that an interrupted run had staged"),
    REMOVED_PREFIX: tr("what was left of a version that was being removed"),
}


@dataclass(frozen=True, slots=True)
class Swept:
    """A hidden name, what it was, and a sentence for each thing in it that could not be removed.

    One that is not `ours` only has such a name, and was left alone.
    """

    name: str
    what: str
    left: tuple[str, ...] = ()
    ours: bool = True


def sweep(dir_fd: int, *, spare: Collection[str] = ()) -> list[Swept]:
    """Remove every hidden name of ours in the versions directory, as far as that goes; never raises for what resists.

    Only under the lock: nobody else is staging then. Names that begin as in `spare` are left alone.
    """
    found = [(entry, match[1]) for entry in safefs.entries(dir_fd) if (match := OURS.fullmatch(entry.name))]
    swept = [(entry, prefix) for entry, prefix in found if prefix not in spare]
    return sorted((_swept(dir_fd, entry, prefix) for entry, prefix in swept), key=lambda each: each.name)


def _swept(dir_fd: int, entry: os.DirEntry[str], prefix: str) -> Swept:
    link = prefix == LINK_PREFIX and entry.is_symlink()
    left = clear(dir_fd, entry.name) if link else clear_marked(dir_fd, entry.name)
    return Swept(entry.name, _WHAT[prefix], tuple(left or ()), left is not None)
