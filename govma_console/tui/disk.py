"""What the app shows of the disk: the one place that talks to accounting, retention, pins and dedupe of the core."""

from __future__ import annotations

from dataclasses import dataclass

from govma_core.settings import Settings


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of one version: on the disk, what only it uses, what it shares with others."""

    size: int
    exclusive: int
    shared: int


@dataclass(frozen=True, slots=True)
class DiskUse:
    """Bytes of all versions together (hard links counted once and not at all), and of the filesystem."""

    versions: dict[str, Sizes]
    real: int
    unlinked: int
    free: int
    capacity: int

    @property
    def saved(self) -> int:
        """Give what hard links save."""
        return max(0, self.unlinked - self.real)


def last_known(settings: Settings) -> DiskUse | None:
    """Give what was measured last, at once; None when nothing was."""
    return None


def measured(settings: Settings, names: list[str], current: str | None) -> DiskUse | None:
    """Measure the versions; takes seconds, for a thread. None where it cannot be done (not permitted to read)."""
    return None


def pins(settings: Settings) -> dict[str, str]:
    """Give the pinned versions, and why each is."""
    return {}
