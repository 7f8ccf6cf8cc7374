"""Swaps names in and out as fast as it goes, from a process of its own: `Racer(pairs, owner)` for the time of a block.

A pair is a name and what a link beside it leads to (real paths); the two are exchanged in one step (renameat2), so that
one of them is always there. With `linked`, a file, what is put beside is at times a second name of that, a FIFO or an
empty directory, and the racer rests now and then.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import random
import signal
import struct
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

_EXCHANGE = 2
_AT_FDCWD = -100
_COUNT = struct.Struct("Q")
_KINDS = ("link", "link", "link", "second name", "pipe", "directory")
_RESTS = (0, 0, 0, 0, 0, 0, 0.001, 0.005, 0.02)


class Racer:
    """`rounds` counts the exchanges that succeeded."""

    def __init__(
        self, pairs: Iterable[tuple[Path, Path]], owner: tuple[int, int] | None, linked: Path | None = None
    ) -> None:
        self._pairs = [(os.fsencode(name), os.fsencode(target)) for name, target in pairs]
        self._owner = owner
        self._linked = linked
        self._random = random.Random(1)
        self._shared = mmap.mmap(-1, _COUNT.size)
        self._pid = 0

    @property
    def rounds(self) -> int:
        return int(_COUNT.unpack(self._shared[:])[0])

    def pause(self) -> None:
        """Have it stand still; when this returns it does."""
        os.kill(self._pid, signal.SIGSTOP)
        os.waitpid(self._pid, os.WUNTRACED)

    def go_on(self) -> None:
        """Have it race again."""
        os.kill(self._pid, signal.SIGCONT)

    def __enter__(self) -> Racer:
        self._pid = os.fork()
        if self._pid == 0:
            try:
                self._race()
            finally:
                os._exit(1)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        os.kill(self._pid, 9)
        os.waitpid(self._pid, 0)

    def _race(self) -> None:
        if self._owner is not None:
            os.setgroups([])
            os.setgid(self._owner[1])
            os.setuid(self._owner[0])
        libc = ctypes.CDLL(None)
        count, parent = 0, os.getppid()
        until = time.monotonic() + 600
        while os.getppid() == parent and time.monotonic() < until:
            for name, target in self._pairs:
                beside = name + b"~"
                # Nobody else swaps: a way that leads nowhere else now does so until the link is made.
                above = os.path.dirname(name)
                with suppress(OSError):
                    if not os.path.lexists(beside) and os.path.realpath(above) == above:
                        self._put(target, beside)
                for _ in range(20):
                    if libc.renameat2(_AT_FDCWD, name, _AT_FDCWD, beside, _EXCHANGE) == 0:
                        count += 1
            self._shared[:] = _COUNT.pack(count)
            if self._linked is not None:
                # What works meanwhile gets further at times than the first name.
                time.sleep(self._random.choice(_RESTS))

    def _put(self, target: bytes, beside: bytes) -> None:
        kind = self._random.choice(_KINDS) if self._linked is not None else "link"
        if kind == "second name" and self._linked is not None:
            with suppress(OSError):
                os.link(self._linked, beside)
        elif kind == "pipe":
            os.mkfifo(beside)
        elif kind == "directory":
            os.mkdir(beside)
        else:
            os.symlink(target, beside)
