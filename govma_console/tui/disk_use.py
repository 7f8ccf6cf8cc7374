"""What the versions take on the disk, and the room that there is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from govma_console.tui.query import Query
from govma_core.disk.usage import VersionUsage, last_measured
from govma_core.settings import Settings
from govma_core.text.language import tr


@dataclass(frozen=True, slots=True)
class DiskUse:
    """Bytes of the file system, of each version by name, and of all versions together."""

    free: int
    capacity: int
    versions: Mapping[str, VersionUsage] = field(default_factory=dict)
    real: int = 0
    """With each file counted once, however many names it has; 0 until it is measured."""
    unlinked: int = 0
    """With each name of a file counted as a file of its own; 0 until it is measured."""
    problem: str = ""
    """What was not measured, and why."""

    @property
    def saved(self) -> int:
        """Return the bytes that hard links save."""
        return max(0, self.unlinked - self.real)


def last_known(settings: Settings) -> DiskUse | None:
    """Return the sizes that are stored, and the room there is now, at once; None when the directory cannot be read."""
    free_and_capacity = room(settings)
    if free_and_capacity is None:
        return None
    return DiskUse(*free_and_capacity, last_measured(settings.state_dir, settings.versions_dir))


def room(settings: Settings) -> tuple[int, int] | None:
    """Return the free bytes and all bytes where the versions are; None when that cannot be asked."""
    try:
        filesystem = os.statvfs(settings.versions_dir)
    except OSError:
        return None
    return filesystem.f_bavail * filesystem.f_frsize, filesystem.f_blocks * filesystem.f_frsize


def measure(settings: Settings) -> DiskUse:
    """Measure the versions: takes seconds, so call it in a thread. GovmaError where it fails."""
    answer = Query(settings, "usage").ask()
    sizes = {version["name"]: VersionUsage(**version) for version in answer["versions"]}
    problem, unread = "", answer["unread"]
    if unread:
        problem = tr("{unread} directories cannot be read by this user: sizes are larger than shown.", unread=unread)
    return DiskUse(answer["free"], answer["capacity"], sizes, answer["real"], answer["unlinked"], problem)
