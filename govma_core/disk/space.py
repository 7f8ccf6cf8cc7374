"""Free space of file systems, and what a deploy will take of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from govma_core.disk.usage.summary import VersionUsage

_MARGIN = 1.1
"""A version grows a little from one to the next."""


@dataclass(frozen=True, slots=True)
class Room:
    """What the file system of a directory has left: bytes, and inodes (None: it knows no limit); `device` tells it."""

    free: int
    inodes: int | None
    device: int


@dataclass(frozen=True, slots=True)
class Need:
    """What a deploy will take, in bytes and inodes."""

    size: int
    inodes: int


def room(path: Path) -> Room:
    """Ask the file system of a path, or of the nearest directory above it that is there."""
    while not path.is_dir():
        path = path.parent
    found = os.statvfs(path)
    return Room(found.f_bavail * found.f_frsize, found.f_favail if found.f_files else None, path.stat().st_dev)


def needed_for_deploy(versions: list[VersionUsage]) -> Need:
    """Estimate what a version takes while it is built: as the largest of these, none of it shared yet."""
    return Need(
        int(max((version.size for version in versions), default=0) * _MARGIN),
        int(max((version.files for version in versions), default=0) * _MARGIN),
    )
