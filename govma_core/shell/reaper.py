"""Processes that a build leaves behind: found in /proc, killed and reaped, so that nothing goes on writing in the tree.

A daemon that leaves its process group and its parent is still a descendant of a *child subreaper* (prctl(2)), which the
calling process is for the time of the build.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from govma_core.errors import CommandError
from govma_core.language import tr

_PR_SET_CHILD_SUBREAPER = 36
_PR_GET_CHILD_SUBREAPER = 37
_PATIENCE = 10.0
_PAUSE = 0.01
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Process:
    """One process as /proc shows it; `started` (clock ticks since boot) tells it from a later one with its pid."""

    pid: int
    started: int
    parent: int
    zombie: bool
    name: str

    @property
    def identity(self) -> tuple[int, int]:
        """Give what no other process has."""
        return self.pid, self.started


class Descendants:
    """The processes below this one that were not there when the object was made."""

    def __init__(self) -> None:
        self._before = {process.identity for process in _below(os.getpid())}

    def end(self) -> list[Process]:
        """Kill and reap them all, and what they start meanwhile; give those that still ran.

        Children that `subprocess` waits for must have been waited for: their exit status is taken here. CommandError
        when one cannot be ended.
        """
        return end_all(lambda: [process for process in _below(os.getpid()) if process.identity not in self._before])


@contextmanager
def contained() -> Iterator[Descendants]:
    """Make this process the parent of all orphans below it for the time of the block; at its end none is left.

    Every process started in the block belongs to it: nothing else of this process may start children meanwhile.
    """
    flag = ctypes.c_int()
    _prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(flag))
    descendants = Descendants()
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield descendants
    finally:
        try:
            descendants.end()
        finally:
            _prctl(_PR_SET_CHILD_SUBREAPER, flag.value)


def end_all(find: Callable[[], list[Process]]) -> list[Process]:
    """Kill what `find` gives until it gives nothing more; give those that still ran."""
    ended: dict[tuple[int, int], Process] = {}
    deadline = time.monotonic() + _PATIENCE
    while found := find():
        for process in found:
            if process.zombie:
                _reap(process)
            elif _kill(process):
                ended[process.identity] = process
        if time.monotonic() > deadline:
            names = ", ".join(f"{process.pid} ({process.name})" for process in found[:5])
            raise CommandError(
                tr("Processes of the build cannot be ended: {names}. Look at them with ps, and end them.", names=names)
            )
        time.sleep(_PAUSE)
    return list(ended.values())


def marked(variable: str, uid: int) -> list[Process]:
    """Give the living processes of a user that were started with `variable` (NAME=value), but for this one."""
    wanted = os.fsencode(variable)
    found = []
    for process in _all():
        with suppress(OSError):
            directory = Path("/proc", str(process.pid))
            if process.zombie or process.pid == os.getpid() or directory.stat().st_uid != uid:
                continue
            if wanted in (directory / "environ").read_bytes().split(b"\0"):
                found.append(process)
    return found


def _all() -> list[Process]:
    found = []
    for entry in os.listdir("/proc"):
        process = _read(int(entry)) if entry.isdecimal() else None
        if process is not None:
            found.append(process)
    return found


def _below(pid: int) -> list[Process]:
    children: dict[int, list[Process]] = {}
    for process in _all():
        children.setdefault(process.parent, []).append(process)
    found, parents = [], [pid]
    while parents:
        below = children.pop(parents.pop(), [])
        found += below
        parents += [process.pid for process in below]
    return found


def _read(pid: int) -> Process | None:
    """Read proc_pid_stat(5); None when there is no such process (any more)."""
    try:
        stat = Path("/proc", str(pid), "stat").read_bytes()
    except OSError:
        return None
    # The name in parentheses may hold anything: the other fields begin behind the last one.
    end = stat.rindex(b")")
    name = stat[stat.index(b"(") + 1 : end].decode("utf-8", "backslashreplace")
    fields = stat[end + 2 :].split()
    return Process(pid, int(fields[19]), int(fields[1]), fields[0] in (b"Z", b"X"), name)


def _kill(process: Process) -> bool:
    try:
        fd = os.pidfd_open(process.pid)
    except OSError:
        return False
    try:
        now = _read(process.pid)
        # Looked at again once it is held by the descriptor: the pid may be somebody else's by now.
        if now is None or now.identity != process.identity or now.zombie:
            return False
        signal.pidfd_send_signal(fd, signal.SIGKILL)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _reap(process: Process) -> None:
    if process.parent == os.getpid():
        with suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)


def _prctl(option: int, argument: object) -> None:
    if _libc.prctl(option, argument, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
