"""Sweeping the hidden names of ours beside the versions: what killed runs left there."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from govma_core import safefs
from govma_core.language import tr
from govma_core.versions.clearing import clear
from govma_core.versions.names import INCOMING_PREFIX, LINK_PREFIX, OURS, REMOVED_PREFIX, STAGING_PREFIX

_WHAT = {
    LINK_PREFIX: tr("a link that an interrupted promotion had staged"),
    INCOMING_PREFIX: tr("an incomplete copy that an interrupted run left"),
    STAGING_PREFIX: tr("files that an interrupted run had staged"),
    REMOVED_PREFIX: tr("what was left of a version that was being removed"),
}


@dataclass(frozen=True, slots=True)
class Swept:
    """A hidden name, what it was, and a sentence for each thing in it that could not be removed."""

    name: str
    what: str
    left: tuple[str, ...] = ()


def sweep(dir_fd: int, *, spare: Collection[str] = ()) -> list[Swept]:
    """Remove every hidden name of ours in the versions directory, as far as that goes; never raises for what resists.

    Only under the lock: nobody else is staging then. Names that begin as in `spare` are left alone.
    """
    found = [(entry.name, match[1]) for entry in safefs.entries(dir_fd) if (match := OURS.fullmatch(entry.name))]
    swept = [(name, prefix) for name, prefix in sorted(found) if prefix not in spare]
    return [Swept(name, _WHAT[prefix], tuple(clear(dir_fd, name))) for name, prefix in swept]
