"""The walk of a version for the account: no link is followed, nothing but directories is opened, any depth will do.

What vanishes meanwhile is passed over.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress

from govma_core import safefs
from govma_core.disk.usage.inodes import GONE, Inodes
from govma_core.disk.usage.pack import pack_names
from govma_core.disk.usage.part import Directories, Part
from govma_core.errors import UnsafeTreeError

DEEPEST = 64
"""Directories held open at once; what lies deeper is reached by a new descent, and such a version is never sealed."""

SETTLED_NS = 50_000_000
"""A directory that changed so shortly before a walk could change again without its ctime telling: clocks of file
systems tick up to 10 ms apart."""
_SETTLED_COARSE_NS = 2_000_000_000
_SECOND_NS = 1_000_000_000

_Path = tuple[str, ...]


class Walker:
    """Walks what lies in one directory; `step` is called once a directory, and may raise. `inodes` is what was met."""

    def __init__(self, versions_fd: int, step: Callable[[], None], *, every: bool = False) -> None:
        self._versions = versions_fd
        self._step = step
        self.inodes = Inodes(every=every)

    def version(self, name: str, bit: int) -> Part | None:
        """Walk a version; None when it is no directory (any more). `bit` marks it among the holders of inodes."""
        try:
            fd = os.open(name, safefs.DIRECTORY_FLAGS, dir_fd=self._versions)
        except OSError as error:
            return None if error.errno in GONE else self._closed(name)
        part = self._walk(fd, name, frozenset())
        for device, numbers in self.inodes.settle(part).items():
            holders = self.inodes.holders[device]
            get = holders.get
            for number in numbers:
                holders[number] = get(number, 0) | bit
        return part

    def rest(self, versions: frozenset[str]) -> tuple[Part, dict[int, list[int]]]:
        """Walk all but these; give the part, and by device the inodes in it that have several names."""
        part = self._walk(os.dup(self._versions), ".", versions)
        return part, self.inodes.settle(part)

    def _closed(self, name: str) -> Part | None:
        """Return what can be known of a version that may not be read."""
        info = safefs.lstat(self._versions, name)
        if info is None:
            return None
        return Part(name, info.st_dev, info.st_ino, time.time(), info.st_blocks, info.st_size, unread=1)

    def _walk(self, root: int, name: str, skip: frozenset[str]) -> Part:
        """Walk the tree below the open directory, which is closed."""
        try:
            info = os.fstat(root)
            part = Part(name, info.st_dev, info.st_ino, time.time())
            self.inodes.begin()
            self._entered: list[str] = []
            deep: list[tuple[_Path, str]] = []
            self._descend(part, os.dup(root), (), deep, skip)
            shallow = not deep
            while deep:
                above, below = deep.pop()
                try:
                    with safefs.opened(root, *above) as parent:
                        fd = self._open(part, parent, below)
                        if fd is not None:
                            self._descend(part, fd, (*above, below), deep)
                except UnsafeTreeError:
                    continue
                except OSError as error:
                    part.unread += error.errno not in GONE
        finally:
            os.close(root)
        part.steady = shallow and not part.unread and _settled(part)
        if part.steady:
            part.directories.names = pack_names(self._entered)
        else:
            part.directories, part.samples = Directories(), []
        return part

    def _descend(
        self, part: Part, fd: int, path: _Path, deep: list[tuple[_Path, str]], skip: frozenset[str] = frozenset()
    ) -> None:
        """Walk the open directory at `path`, which is closed, and what is below it; too deep ones are put in `deep`."""
        trail = list(path)
        opened = [fd]
        try:
            waiting = [[name for name in self._enter(part, fd, part.name, 0) if name not in skip]]
            while opened:
                if not waiting[-1]:
                    os.close(opened.pop())
                    waiting.pop()
                    if trail:
                        trail.pop()
                elif len(opened) == DEEPEST:
                    above = tuple(trail)
                    deep.extend((above, name) for name in waiting[-1])
                    waiting[-1] = []
                else:
                    name = waiting[-1].pop()
                    child = self._open(part, opened[-1], name)
                    if child is not None:
                        opened.append(child)
                        trail.append(name)
                        waiting.append(self._enter(part, child, name, len(opened) - 1))
        finally:
            for fd in opened:
                os.close(fd)

    def _open(self, part: Part, parent: int, name: str) -> int | None:
        """Open a directory; None when it is gone or may not be read."""
        try:
            return os.open(name, safefs.DIRECTORY_FLAGS, dir_fd=parent)
        except OSError as error:
            if error.errno not in GONE:
                part.unread += 1
                with suppress(OSError):
                    info = os.stat(name, dir_fd=parent, follow_symlinks=False)
                    part.blocks += info.st_blocks
                    part.sizes += info.st_size
            return None

    def _enter(self, part: Part, fd: int, name: str, depth: int) -> list[str]:
        """Count an open directory and what is in it; give the names of the directories in it."""
        self._step()
        info = os.fstat(fd)
        part.blocks += info.st_blocks
        part.sizes += info.st_size
        self._entered.append(name)
        part.directories.depths.append(depth)
        part.directories.changed.append(info.st_ctime_ns)
        return self.inodes.read(part, fd, info.st_dev)


def _settled(part: Part) -> bool:
    """Tell whether no directory changed so shortly before the walk that a further change might not show."""
    newest = max(part.directories.changed)
    margin = SETTLED_NS if newest % _SECOND_NS else _SETTLED_COARSE_NS
    return newest < part.taken * 1e9 - margin
