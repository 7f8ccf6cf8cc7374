"""Tells before a deploy begins whether there is room for it, rather than when the disk is full."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from govma_core.context import Context
from govma_core.disk.usage import VersionUsage, account, last_measured, measure
from govma_core.errors import GovmaError
from govma_core.prune import prune
from govma_core.text.clean import bytes_text
from govma_core.text.language import tr

_LATEST = 3
"""The latest versions, from which the size of the next one is estimated."""

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


def problems(context: Context) -> list[str]:
    """Return a sentence for each file system that has no room for a deploy.

    What cannot be looked at is reported by other parts of the preflight.
    """
    try:
        return _compare(context, estimate(context))
    except (GovmaError, OSError):
        return []


def estimate(context: Context) -> Need:
    """Return what the next deploy takes; nothing when there is no version to learn from."""
    # As much as the largest of these, none of it shared yet.
    versions = _latest(context)
    return Need(
        int(max((version.size for version in versions), default=0) * _MARGIN),
        int(max((version.files for version in versions), default=0) * _MARGIN),
    )


def _latest(context: Context) -> list[VersionUsage]:
    names = [version.name for version in context.versions.versions() if version.complete][:_LATEST]
    measured = last_measured(context.settings.state_dir, context.settings.versions_dir)
    if any(name in measured for name in names):
        return [measured[name] for name in names if name in measured]
    return list(measure(context.settings.versions_dir, names[:1]).versions)


def _compare(context: Context, need: Need) -> list[str]:
    settings = context.settings
    work, versions = room(settings.work_dir), room(settings.versions_dir)
    directories = [("work_dir", settings.work_dir, work)]
    if versions.device != work.device:
        # The finished version is copied there, before it is linked to the others.
        directories.append(("versions_dir", settings.versions_dir, versions))
    sentences = []
    for name, path, available in directories:
        if available.free < need.size:
            sentences.append(
                tr(
                    "There is too little room for a deploy on the file system of {name} ({path}): {free} "
                    "free, about {size} needed. ",
                    name=name,
                    path=path,
                    free=bytes_text(available.free),
                    size=bytes_text(need.size),
                )
                + _advice(context, holds_versions=available.device == versions.device)
            )
        elif available.inodes is not None and available.inodes < need.inodes:
            sentences.append(
                tr(
                    "The file system of {name} ({path}) has {inodes} inodes left, and a deploy needs about "
                    "{inodes2}. `govma-console prune` frees some where versions are.",
                    name=name,
                    path=path,
                    inodes=available.inodes,
                    inodes2=need.inodes,
                )
            )
    return sentences


def room(path: Path) -> Room:
    """Return the room on the file system of a path, or of the nearest directory above it that exists."""
    while not path.is_dir():
        path = path.parent
    system = os.statvfs(path)
    return Room(system.f_bavail * system.f_frsize, system.f_favail if system.f_files else None, path.stat().st_dev)


def _advice(context: Context, *, holds_versions: bool) -> str:
    if not holds_versions:
        return tr("Free some space there.")
    usage = account(context)
    largest = max((version.size for version in usage.versions), default=0)
    duplicates = max(0, sum(version.exclusive for version in usage.versions) - largest)
    return tr(
        "`govma-console prune` would free {pruned}, `govma-console dedupe` up to {deduped} "
        "(`--dry-run` tells exactly).",
        pruned=bytes_text(prune.estimate(context)),
        deduped=bytes_text(duplicates),
    )
