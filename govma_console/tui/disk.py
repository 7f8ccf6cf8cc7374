"""What the app shows of the disk: the one place that talks to accounting, pins, retention and dedupe of the core."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from govma_console.tui.query import Query
from govma_core.disk.usage.summary import last_measured
from govma_core.language import tr
from govma_core.runs.launch import prepared_store
from govma_core.runs.requester import local_requester
from govma_core.settings import Settings
from govma_core.text import clean_line
from govma_core.versions.pins import PinStore


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of one version: on the disk, what only it uses, what it shares with others."""

    size: int
    exclusive: int
    shared: int


@dataclass(frozen=True, slots=True)
class DiskUse:
    """Bytes of all versions together (hard links counted once, and not at all), and of the filesystem.

    `real` and `unlinked` are 0 until they were measured.
    """

    free: int
    capacity: int
    versions: Mapping[str, Sizes] = field(default_factory=dict)
    real: int = 0
    unlinked: int = 0
    problem: str = ""
    """What was not measured, and why."""

    @property
    def saved(self) -> int:
        """Return what hard links save."""
        return max(0, self.unlinked - self.real)


def last_known(settings: Settings) -> DiskUse | None:
    """Return what was measured last, and the room there is now, at once; None when the directory cannot be read."""
    found = room(settings)
    if found is None:
        return None
    known = last_measured(settings.state_dir / "usage", settings.versions_dir)
    sizes = {name: Sizes(usage.size, usage.exclusive, usage.shared) for name, usage in known.items()}
    return DiskUse(*found, sizes)


def room(settings: Settings) -> tuple[int, int] | None:
    """Return the free bytes and all bytes where the versions are; None when that cannot be asked."""
    try:
        found = os.statvfs(settings.versions_dir)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize


def measured(settings: Settings, names: list[str], current: str | None) -> DiskUse:
    """Measure the versions; takes seconds, for a thread. GovmaError where it cannot be done."""
    found = Query(settings, "usage", names=names, current=current).ask()
    sizes = {name: Sizes(*numbers) for name, numbers in found["versions"].items()}
    unread = found["unread"]
    problem = (
        tr("{unread} directories cannot be read by this user: sizes are larger than shown.", unread=unread)
        if unread
        else ""
    )
    return DiskUse(found["free"], found["capacity"], sizes, found["real"], found["unlinked"], problem)


def pins(settings: Settings) -> dict[str, str]:
    """Return the pinned versions, and what is known of each pin."""
    return {name: pin.sentence() for name, pin in PinStore(settings.state_dir).read().items()}


def pin(settings: Settings, version: str, reason: str) -> None:
    """Pin a version, so that prune keeps it."""
    prepared_store(settings)
    PinStore(settings.state_dir).pin(version, local_requester("console").by, reason, time.time())


def unpin(settings: Settings, version: str) -> None:
    """Take the pin of a version away."""
    PinStore(settings.state_dir).unpin(version)


@dataclass(frozen=True, slots=True)
class PruneLine:
    """What becomes of one version, why, and what removing it frees."""

    name: str
    keep: bool
    why: str
    frees: int


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What a prune would do, the newest version first."""

    lines: tuple[PruneLine, ...]
    frees: int
    warnings: tuple[str, ...]

    @property
    def removed(self) -> list[str]:
        """Return the versions that would go."""
        return [line.name for line in self.lines if not line.keep]


def prune_plan(answer: dict[str, Any]) -> PrunePlan:
    """Read the answer to the question `prune`."""
    lines = [
        PruneLine(clean_line(found["name"]), found["keep"], clean_line("; ".join(found["reasons"])), found["frees"])
        for found in answer["versions"]
    ]
    return PrunePlan(tuple(lines), answer["frees"], tuple(map(clean_line, answer["warnings"])))
