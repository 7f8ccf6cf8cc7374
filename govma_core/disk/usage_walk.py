"""One walk over the versions adds up what they take: every directory is read once, every inode is asked once.

No link is followed, nothing but directories is opened, and trees may be of any depth. What vanishes meanwhile is passed
over; what this user may not read is counted. A listing tells the number of each inode without a call of the system, so
an inode that is known already costs nothing more, however many versions hold it.
"""

from __future__ import annotations

import os
import stat
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass

from govma_core.fs import safefs
from govma_core.fs.walk import GONE, Directories
from govma_core.process.workers import MOST_PIECES, run_workers

_OPEN_DIRECTORIES = 64
"""Directories that are held open at once."""


@dataclass(slots=True)
class TreeUsage:
    """What one tree takes, without the inodes that have several names.

    `bit` marks the tree among the holders of such inodes, `inode` is that of its root. `blocks` (of 512 bytes) and
    `size` (bytes) are of its directories and of the inodes with a single name. `files` counts the names of regular
    files, `unread` the directories and files that could not be looked at.
    """

    name: str
    bit: int
    inode: int
    blocks: int = 0
    size: int = 0
    files: int = 0
    unread: int = 0


@dataclass(slots=True)
class LinkedInode:
    """An inode with several names: blocks of 512 bytes, bytes, links; its names in versions, and the versions' bits."""

    blocks: int
    size: int
    links: int
    names: int = 0
    holders: int = 0


@dataclass(frozen=True, slots=True)
class _Share:
    """What one process walked: trees, and the inodes with several names by device and number (see _Walk)."""

    trees: list[TreeUsage]
    linked: Mapping[int, dict[int, LinkedInode]]
    listings_differ: bool


@dataclass(frozen=True, slots=True)
class Walked:
    """What a walk came to: the versions, what lies beside them, and every inode with several names."""

    versions: list[TreeUsage]
    rest: TreeUsage
    linked: list[LinkedInode]


def walk_versions(versions_fd: int, names: Sequence[str], step: Callable[[], None], workers: int) -> Walked:
    """Walk the versions of these names in an open directory, and what lies beside them.

    Versions that are no directories are left out. `step` is called often, and may raise. The versions are shared out
    among so many processes, but everything is done in this one where a fork would not be safe or gain nothing.
    """
    for ask_every_name in (False, True):
        whole = _Walk(versions_fd, step, ask_every_name)
        shares = _walk_shares(versions_fd, names, step, workers, ask_every_name)
        for share in shares:
            whole.add(share)
        trees = {tree.name: tree for share in shares for tree in share.trees}
        rest = whole.rest(trees.keys())
        if not whole.listings_differ:
            break
    linked = [inode for inodes in whole.linked.values() for inode in inodes.values()]
    return Walked([trees[name] for name in names if name in trees], rest, linked)


def _walk_shares(
    versions_fd: int, names: Sequence[str], step: Callable[[], None], workers: int, ask_every_name: bool
) -> list[_Share]:
    # A fork of a process with several threads can be stuck for ever on what another thread held.
    alone = workers < 2 or not 1 < len(names) <= MOST_PIECES or threading.active_count() > 1
    bits = {name: 1 << place for place, name in enumerate(names)}

    def work(share: Iterable[str], report: Callable[[None], None]) -> _Share:
        walk = _Walk(versions_fd, step if alone else lambda: None, ask_every_name)
        trees = [tree for name in share if (tree := walk.version(name, bits[name]))]
        return _Share(trees, walk.linked, walk.listings_differ)

    return [work(names, lambda _: None)] if alone else run_workers(names, workers, work, step=step)


class _Walk:
    """Walks trees of one open directory; `step` is called once a directory.

    `linked` are the inodes with several names that were met so far, by device and number. `listings_differ` says that a
    listing told another inode than stat, so that only a walk that asks every name can be trusted: some overlays, files
    mounted on files, and by chance a file that was just being replaced.
    """

    def __init__(self, versions_fd: int, step: Callable[[], None], ask_every_name: bool) -> None:
        self._versions = versions_fd
        self._step = step
        self._ask_every_name = ask_every_name
        self.listings_differ = False
        self.linked: defaultdict[int, dict[int, LinkedInode]] = defaultdict(dict)

    def version(self, name: str, bit: int) -> TreeUsage | None:
        """Walk the version of this name; None when it is no directory."""
        info = safefs.lstat(self._versions, name)
        if info is None or not stat.S_ISDIR(info.st_mode):
            return None
        tree = TreeUsage(name, bit, info.st_ino)
        self._descend(tree, [name])
        return tree

    def rest(self, versions: Collection[str]) -> TreeUsage:
        """Walk the directory itself and all in it but these versions."""
        tree = TreeUsage("", 0, 0)
        self._descend(tree, [name for name in self._read(tree, self._versions) if name not in versions])
        return tree

    def add(self, share: _Share) -> None:
        """Take in what another process met."""
        self.listings_differ |= share.listings_differ
        for device, inodes in share.linked.items():
            for number, met in inodes.items():
                inode = self.linked[device].setdefault(number, LinkedInode(met.blocks, met.size, met.links))
                inode.names += met.names
                inode.holders |= met.holders

    def _descend(self, tree: TreeUsage, pending: list[str]) -> None:
        """Count the directories at these paths and everything below them."""
        with closing(Directories([self._versions], _OPEN_DIRECTORIES)) as directories:
            while pending:
                path = pending.pop()
                try:
                    fd = directories.fd(0, path)
                except OSError as error:
                    if error.errno not in GONE:
                        tree.unread += 1
                        self._count_closed(tree, directories, path)
                    continue
                pending += [f"{path}/{name}" for name in self._read(tree, fd)]

    def _count_closed(self, tree: TreeUsage, directories: Directories, path: str) -> None:
        parent, _, name = path.rpartition("/")
        with suppress(OSError):
            info = os.stat(name, dir_fd=directories.fd(0, parent), follow_symlinks=False)
            tree.blocks += info.st_blocks
            tree.size += info.st_size

    def _read(self, tree: TreeUsage, fd: int) -> list[str]:
        """Count an open directory and what is in it; return the names of the directories in it."""
        self._step()
        directory = os.fstat(fd)
        by_number: dict[int, LinkedInode] = {} if self._ask_every_name else self.linked[directory.st_dev]
        bit, names = tree.bit, 1 if tree.bit else 0
        tree.blocks += directory.st_blocks
        tree.size += directory.st_size
        below: list[str] = []
        try:
            with os.scandir(fd) as entries:
                # Called for each name of all versions: what is in this loop is what a measurement takes.
                for entry in entries:
                    if entry.is_file(follow_symlinks=False):
                        tree.files += 1
                    elif entry.is_dir(follow_symlinks=False):
                        below.append(entry.name)
                        continue
                    number = entry.inode()
                    if number in by_number:
                        inode = by_number[number]
                    else:
                        try:
                            info = entry.stat(follow_symlinks=False)
                        except OSError as error:
                            tree.files -= entry.is_file(follow_symlinks=False)
                            tree.unread += error.errno not in GONE
                            continue
                        if info.st_ino != number or info.st_dev != directory.st_dev:
                            self.listings_differ = not self._ask_every_name
                        if info.st_nlink == 1:
                            tree.blocks += info.st_blocks
                            tree.size += info.st_size
                            continue
                        inode = self._linked(info)
                    inode.names += names
                    inode.holders |= bit
        except OSError:
            tree.unread += 1
        return below

    def _linked(self, info: os.stat_result) -> LinkedInode:
        inodes = self.linked[info.st_dev]
        if info.st_ino not in inodes:
            inodes[info.st_ino] = LinkedInode(info.st_blocks, info.st_size, info.st_nlink)
        return inodes[info.st_ino]
