"""Whether there is room for the next deploy, told before it begins rather than when the disk is full."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from govma_core.context import Context
from govma_core.disk.usage import VersionUsage, account, last_measured, measure
from govma_core.errors import GovmaError
from govma_core.text.clean import bytes_text
from govma_core.text.language import tr

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


_LAST = 3
"""The latest versions, from which the size of the next one is estimated."""


def need(context: Context) -> Need:
    """Estimate what the next deploy takes; nothing when there is no version to learn from."""
    return needed_for_deploy(_latest(context))


def problems(context: Context) -> list[str]:
    """Return a sentence for each file system that has no room for a deploy.

    What cannot be looked at is told by other parts of the preflight.
    """
    try:
        return _problems(context, need(context))
    except (GovmaError, OSError):
        return []


def _problems(context: Context, wanted: Need) -> list[str]:
    settings = context.settings
    work, versions = room(settings.work_dir), room(settings.versions_dir)
    places = [("work_dir", settings.work_dir, work)]
    if versions.device != work.device:
        # The finished version is copied there, before it is linked to the others.
        places.append(("versions_dir", settings.versions_dir, versions))
    found = []
    for name, path, there in places:
        if there.free < wanted.size:
            found.append(
                tr(
                    "There is too little room for a deploy on the file system of {name} ({path}): {free} "
                    "free, about {size} needed. ",
                    name=name,
                    path=path,
                    free=bytes_text(there.free),
                    size=bytes_text(wanted.size),
                )
                + _advice(context, there.device == versions.device)
            )
        elif there.inodes is not None and there.inodes < wanted.inodes:
            found.append(
                tr(
                    "The file system of {name} ({path}) has {inodes} inodes left, and a deploy needs about "
                    "{inodes2}. `govma-console prune` frees some where versions are.",
                    name=name,
                    path=path,
                    inodes=there.inodes,
                    inodes2=wanted.inodes,
                )
            )
    return found


def _latest(context: Context) -> list[VersionUsage]:
    names = [version.name for version in context.versions.versions() if version.complete][:_LAST]
    known = last_measured(context.settings.state_dir, context.settings.versions_dir)
    if any(name in known for name in names):
        return [known[name] for name in names if name in known]
    return list(measure(context.settings.versions_dir, names[:1]).versions)


def _advice(context: Context, versions_are_there: bool) -> str:
    if not versions_are_there:
        return tr("Free some space there.")
    from govma_core.prune import prune

    pruned = prune.estimate(context)
    usage = account(context)
    largest = max((version.size for version in usage.versions), default=0)
    deduped = max(0, sum(version.exclusive for version in usage.versions) - largest)
    return tr(
        "`govma-console prune` would free {pruned}, `govma-console dedupe` up to {deduped} "
        "(`--dry-run` tells exactly).",
        pruned=bytes_text(pruned),
        deduped=bytes_text(deduped),
    )
