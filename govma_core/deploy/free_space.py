"""Tells before a deploy begins whether there is room for it, rather than when the disk is full."""

from __future__ import annotations

import os
from collections.abc import Iterator
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


def problems(context: Context) -> list[str]:
    """Return a sentence for each file system that has no room for a deploy.

    What cannot be looked at is reported by other parts of the preflight.
    """
    try:
        return list(_shortages(context))
    except (GovmaError, OSError):
        return []


def estimate(context: Context) -> tuple[int, int]:
    """Return the bytes and the inodes that the next deploy takes; 0 when there is no version to learn from."""
    # As much as the largest of these, none of it shared yet.
    versions = _latest(context)
    size = max((version.size for version in versions), default=0)
    files = max((version.files for version in versions), default=0)
    return int(size * _MARGIN), int(files * _MARGIN)


def _shortages(context: Context) -> Iterator[str]:
    settings = context.settings
    size, inodes = estimate(context)
    work, versions = _nearest(settings.work_dir), _nearest(settings.versions_dir)
    is_one_file_system = work.stat().st_dev == versions.stat().st_dev
    # From another file system the finished version is copied, before it is linked to the others.
    directories = [("work_dir", settings.work_dir, work), ("versions_dir", settings.versions_dir, versions)]
    for name, path, directory in directories[:1] if is_one_file_system else directories:
        system = os.statvfs(directory)
        free = system.f_bavail * system.f_frsize
        if free < size:
            yield tr(
                "There is too little room for a deploy on the file system of {name} ({path}): {free} "
                "free, about {size} needed. ",
                name=name,
                path=path,
                free=bytes_text(free),
                size=bytes_text(size),
            ) + _advice(context, holds_versions=is_one_file_system or name == "versions_dir")
        elif system.f_files and system.f_favail < inodes:  # without f_files it knows no limit
            yield tr(
                "The file system of {name} ({path}) has {inodes} inodes left, and a deploy needs about "
                "{inodes2}. `govma-console prune` frees some where versions are.",
                name=name,
                path=path,
                inodes=system.f_favail,
                inodes2=inodes,
            )


def _nearest(path: Path) -> Path:
    """Return the path, or the nearest directory above it that exists."""
    while not path.is_dir():
        path = path.parent
    return path


def _latest(context: Context) -> list[VersionUsage]:
    names = [version.name for version in context.versions.versions() if version.complete][:_LATEST]
    measured = last_measured(context.settings.state_dir, context.settings.versions_dir)
    if any(name in measured for name in names):
        return [measured[name] for name in names if name in measured]
    return list(measure(context.settings.versions_dir, names[:1]).versions)


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
