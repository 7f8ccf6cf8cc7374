"""What the versions take on the disk: measured by one walk, and the last result, which views show at once."""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from govma_core.errors import GovmaError
from govma_core.fs import jsonfile, safefs

if TYPE_CHECKING:
    # Every `list` reads sizes here, and has no use for what a run or a walk works with.
    from govma_core.context import Context
    from govma_core.disk.usage_walk import TreeUsage, Walked

_BLOCK = 512
_FILE = "usage.json"


@dataclass(frozen=True, slots=True)
class VersionUsage:
    """What a version takes, in bytes; directories are counted, as `du` does.

    `apparent` is how long its files are, `size` what they take on the disk (each inode once, shared or not).
    `exclusive` is what removing it alone frees, `shared` the rest of `size`: other versions, or directories elsewhere,
    have links to it. `files` counts the names of regular files.
    """

    name: str
    apparent: int
    size: int
    exclusive: int
    shared: int
    files: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What the versions take together; all in bytes.

    `versions` are in the order in which they were named. `real` is what they take, every inode once; `unlinked` what
    they would take without hard links, every name counted. `others` is what else lies in the versions directory (odd
    names, hidden ones, the link, the directory itself): real + others is what `du -s` says of it. `free` and `capacity`
    are of the file system. `measured` is seconds since the epoch. `unread` counts directories that this user may not
    read: when there are any, everything is at least what it says. `only_in` gives the bytes that exactly these versions
    hold and that have no link elsewhere, `inodes` the inode of each version's directory.
    """

    versions: tuple[VersionUsage, ...]
    real: int
    others: int
    unlinked: int
    free: int
    capacity: int
    measured: float
    unread: int = 0
    only_in: Mapping[frozenset[str], int] = field(default_factory=dict, repr=False, compare=False)
    inodes: Mapping[str, int] = field(default_factory=dict, repr=False, compare=False)

    def freed_by(self, names: Collection[str]) -> int:
        """Return the bytes that removing all of these versions frees; names that were not measured free nothing.

        It is more than the sum of what each has for itself: what only these share is freed, too.
        """
        removed = frozenset(names)
        return sum(size for holders, size in self.only_in.items() if holders <= removed)


def account(context: Context) -> Usage:
    """Measure all versions, the newest first, and store the result for the views."""
    settings = context.settings
    names = [version.name for version in context.versions.versions()]
    usage = measure(settings.versions_dir, names, step=context.reporter.cancellation.check)
    # A result that cannot be stored (by this user, on a full disk) is still a result.
    with suppress(OSError):
        _store(settings.state_dir, settings.versions_dir, usage)
    return usage


def refresh(context: Context) -> None:
    """Bring up to date what `list` shows; what goes wrong is a warning."""
    try:
        account(context)
    except (GovmaError, OSError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        context.reporter.warning("The sizes of the versions could not be measured: {reason}.", reason=reason)


def last_measured(state_dir: Path, versions_dir: Path) -> dict[str, VersionUsage]:
    """Return the last stored result by name, of the versions that are still the same directories.

    Takes one call of the system a version; what changed inside one since shows with the next account().
    """
    stored = jsonfile.read(state_dir / _FILE) or {}
    try:
        with safefs.opened_root(versions_dir) as fd:
            if os.fstat(fd).st_ino != stored["inode"]:
                return {}
            rows = [(row["inode"], VersionUsage(**row["usage"])) for row in stored["versions"]]
            return {usage.name: usage for inode, usage in rows if _is_directory(fd, usage.name, inode)}
    except (OSError, KeyError, TypeError, ValueError):
        return {}


def _is_directory(dir_fd: int, name: str, inode: int) -> bool:
    info = safefs.lstat(dir_fd, name)
    return info is not None and stat.S_ISDIR(info.st_mode) and info.st_ino == inode


def _store(state_dir: Path, versions_dir: Path, usage: Usage) -> None:
    rows = [{"usage": asdict(version), "inode": usage.inodes[version.name]} for version in usage.versions]
    data = {"measured": usage.measured, "inode": versions_dir.stat().st_ino, "versions": rows}
    state_dir.mkdir(parents=True, exist_ok=True)
    # Not synced: what a power cut takes is measured again.
    jsonfile.replace(state_dir / _FILE, data, durable=False)
    # The sizes were kept there before.
    shutil.rmtree(state_dir / "usage", ignore_errors=True)


def measure(
    versions_dir: Path, names: Sequence[str], *, step: Callable[[], None] = lambda: None, workers: int = 2
) -> Usage:
    """Measure the versions of these names; those that are not there (any more) are left out.

    `step` is called often, and may raise to end it. workers=1 does everything in this process; otherwise so many
    processes are forked, where this one has no other threads. OSError when versions_dir cannot be read.
    """
    # What shows sizes only, as `list` does, starts without it.
    from govma_core.disk.usage_walk import walk_versions

    with safefs.opened_root(versions_dir) as fd:
        began = time.time()
        walked = walk_versions(fd, names, step, workers)
        space = os.fstatvfs(fd)
    groups = _groups(walked)
    beside = groups.pop(frozenset())
    names_counted = sum(inode.blocks * inode.names for inode in walked.linked)
    return Usage(
        versions=tuple(_version(tree, groups) for tree in walked.versions),
        real=sum(group.blocks for group in groups.values()) * _BLOCK,
        others=beside.blocks * _BLOCK,
        unlinked=(sum(tree.blocks for tree in walked.versions) + names_counted) * _BLOCK,
        free=space.f_bavail * space.f_frsize,
        capacity=space.f_blocks * space.f_frsize,
        measured=began,
        unread=sum(tree.unread for tree in (*walked.versions, walked.rest)),
        only_in={holders: group.only_here * _BLOCK for holders, group in groups.items() if group.only_here},
        inodes={tree.name: tree.inode for tree in walked.versions},
    )


@dataclass(slots=True)
class _Group:
    """Inodes that the same versions hold: their blocks, bytes, and the blocks of those with no link elsewhere."""

    blocks: int = 0
    size: int = 0
    only_here: int = 0


def _groups(walked: Walked) -> dict[frozenset[str], _Group]:
    """Add up all inodes by the names of the versions that hold them; none of them for what lies beside."""
    by_bits: defaultdict[int, _Group] = defaultdict(_Group)
    for inode in walked.linked:
        group = by_bits[inode.holders]
        group.blocks += inode.blocks
        group.size += inode.size
        # More names than links: it was linked once more after it was asked.
        if inode.names >= inode.links:
            group.only_here += inode.blocks
    for tree in (*walked.versions, walked.rest):
        group = by_bits[tree.bit]
        group.blocks += tree.blocks
        group.size += tree.size
        group.only_here += tree.blocks
    return {
        frozenset(tree.name for tree in walked.versions if tree.bit & bits): group for bits, group in by_bits.items()
    }


def _version(tree: TreeUsage, groups: Mapping[frozenset[str], _Group]) -> VersionUsage:
    its_groups = [group for holders, group in groups.items() if tree.name in holders]
    blocks, exclusive = sum(group.blocks for group in its_groups), groups[frozenset([tree.name])].only_here
    return VersionUsage(
        name=tree.name,
        apparent=sum(group.size for group in its_groups),
        size=blocks * _BLOCK,
        exclusive=exclusive * _BLOCK,
        shared=(blocks - exclusive) * _BLOCK,
        files=tree.files,
    )
