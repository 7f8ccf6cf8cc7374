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
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass

from govma_core.fs import safefs
from govma_core.fs.walk import GONE, Directories, join
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
class Walked:
    """What a walk came to: the versions, what lies beside them, and every inode with several names."""

    versions: list[TreeUsage]
    rest: TreeUsage
    linked: list[LinkedInode]


_Linked = dict[int, dict[int, LinkedInode]]
"""The inodes with several names, by device and number."""


def walk_versions(versions_fd: int, names: Sequence[str], step: Callable[[], None], workers: int) -> Walked:
    """Walk the versions of these names in an open directory, and what lies beside them.

    Versions that are no directories are left out. `step` is called often, and may raise. The versions are shared out
    among so many processes, but everything is done in this one where a fork would not be safe or gain nothing.
    """
    # A fork of a process with several threads can be stuck for ever on what another thread held.
    alone = workers < 2 or not 1 < len(names) <= MOST_PIECES or threading.active_count() > 1
    bits = {name: 1 << place for place, name in enumerate(names)}

    def work(share: Iterable[str], report: Callable[[None], None]) -> tuple[list[TreeUsage], _Linked]:
        walk = _Walk(versions_fd, step if alone else lambda: None)
        return [tree for name in share if (tree := walk.version(name, bits[name]))], walk.linked

    shares = [work(names, lambda _: None)] if alone else run_workers(names, workers, work, step=step)
    whole = _Walk(versions_fd, step)
    for _, linked in shares:
        whole.add(linked)
    trees = {tree.name: tree for trees, _ in shares for tree in trees}
    rest = whole.rest(trees.keys())
    linked_inodes = [inode for inodes in whole.linked.values() for inode in inodes.values()]
    return Walked([trees[name] for name in names if name in trees], rest, linked_inodes)


class _Walk:
    """Walks trees of one open directory; `step` is called once a directory.

    `linked` are the inodes with several names that were met so far. Those on another device than the directory that
    lists them (overlays, files mounted on files) are asked under each of their names.
    """

    def __init__(self, versions_fd: int, step: Callable[[], None]) -> None:
        self._versions = versions_fd
        self._step = step
        self.linked: _Linked = defaultdict(dict)

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

    def add(self, linked: _Linked) -> None:
        """Take in what another process met."""
        for device, inodes in linked.items():
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
                    tree.unread += error.errno not in GONE
                    continue
                pending += [join(path, name) for name in self._read(tree, fd)]

    def _read(self, tree: TreeUsage, fd: int) -> list[str]:
        """Count an open directory and what is in it; return the names of the directories in it."""
        self._step()
        directory = os.fstat(fd)
        by_number = self.linked[directory.st_dev]
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
                        if info.st_nlink == 1:
                            tree.blocks += info.st_blocks
                            tree.size += info.st_size
                            continue
                        inode = self.linked[info.st_dev].setdefault(
                            info.st_ino, LinkedInode(info.st_blocks, info.st_size, info.st_nlink)
                        )
                    inode.names += names
                    inode.holders |= bit
        except OSError:
            tree.unread += 1
        return below
