"""Sees which files and folders of a tree a build opens, by inotify(7) on its folders, from outside the container.

What the kernel tells is a lower bound only where it says so itself (a queue that ran over, a limit of watches); the
watch then has a `problem`, and what it saw proves nothing. Never seen are `stat`, a look-up of a name that is not there
(whoever goes by the answer has to count the names of the folders around what was opened, too), and a file that is
opened by another name in a folder that the build made: its change time tells that it got one.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import struct
import threading
from collections.abc import Collection
from contextlib import suppress

from govma_core.fs import safefs
from govma_core.fs.walk import join

REPOSITORY = ".git"
"""Counts as opened when anything in it is, but what only a commit's name leads to."""
_OBJECTS = f"{REPOSITORY}/objects"

_OPEN = 0x20
_ONLY_DIRECTORIES = 0x0100_0000
_OVERFLOW = 0x4000
_HEAD = struct.Struct("iIII")
_BUFFER = 1 << 20
_libc = ctypes.CDLL(None, use_errno=True)


class ReadWatch:
    """Watches an opened tree from now to `end()`: of `paths`, which ends the folders that are watched, too.

    `problem` says in a word why what was seen is not all, '' when it is: `watches`, `instances` (limits of the
    machine), `queue` (more was opened at once than the kernel keeps), `unseen` (nothing at all was seen), `unwatched`.
    """

    def __init__(self, tree_fd: int, paths: Collection[str]) -> None:
        self.problem = ""
        self._paths = paths
        self._opened: set[str] = set()
        self._folders: dict[int, str] = {}
        self._inotify = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._inotify < 0:
            self.problem = _word(ctypes.get_errno())
            return
        self._stop, self._wake = os.pipe2(os.O_CLOEXEC)
        self._is_whole = False
        self._thread = threading.Thread(target=self._read, name="read-watch", daemon=True)
        self._thread.start()
        try:
            self._add(tree_fd, "")
        except BaseException:
            self.end()
            raise

    def end(self) -> frozenset[str]:
        """End the watch; return the paths that were opened, as they were at its beginning ('' for the tree itself)."""
        if self._inotify >= 0:
            os.close(self._wake)
            self._thread.join()
            for fd in (self._stop, self._inotify):
                os.close(fd)
            self._inotify = -1
            # A build opens its tree at least: see BuildJob.script.
            if not self.problem and not (self._is_whole and "" in self._opened):
                self.problem = "unseen"
        return frozenset(self._opened)

    def _add(self, fd: int, folder: str) -> None:
        # From the bottom up: a folder that is opened here is not watched yet, nor is the one that it lies in.
        for entry in safefs.entries(fd) if folder != _OBJECTS else ():
            path = join(folder, entry.name)
            if (path in self._paths or _is_repository(path)) and entry.is_dir(follow_symlinks=False):
                with safefs.opened(fd, entry.name) as child:
                    self._add(child, path)
        if self.problem:
            return
        # By the descriptor: a path could lead elsewhere.
        path = f"/proc/self/fd/{fd}"
        watch = _libc.inotify_add_watch(self._inotify, path.encode(), _OPEN | _ONLY_DIRECTORIES)
        if watch >= 0:
            self._folders[watch] = folder
        else:
            self.problem = _word(ctypes.get_errno())

    def _read(self) -> None:
        poll = select.poll()
        poll.register(self._inotify, select.POLLIN)
        poll.register(self._stop, select.POLLHUP)
        while True:
            ends = any(fd == self._stop for fd, _ in poll.poll())
            with suppress(BlockingIOError):
                while events := os.read(self._inotify, _BUFFER):
                    self._take(events)
            if ends:
                self._is_whole = True
                return

    def _take(self, events: bytes) -> None:
        offset = 0
        while offset < len(events):
            watch, mask, _, length = _HEAD.unpack_from(events, offset)
            offset += _HEAD.size + length
            if mask & _OVERFLOW:
                self.problem = "queue"
            elif (folder := self._folders.get(watch)) is not None and mask & _OPEN:
                name = os.fsdecode(events[offset - length : offset].rstrip(b"\0"))
                path = join(folder, name) if name else folder
                if _is_repository(path):
                    self._opened.add(REPOSITORY)
                # What the build makes itself is no input, and may be without end.
                elif not path or path in self._paths:
                    self._opened.add(path)


def _is_repository(path: str) -> bool:
    return path == REPOSITORY or path.startswith(f"{REPOSITORY}/")


def _word(number: int) -> str:
    return {errno.ENOSPC: "watches", errno.EMFILE: "instances"}.get(number, "unwatched")
