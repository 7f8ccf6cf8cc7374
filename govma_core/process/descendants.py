"""Processes that a build leaves behind: found in /proc, killed and reaped, so that nothing goes on writing in the tree.

A daemon that leaves its process group and its parent is still a descendant of a *child subreaper* (prctl(2)), which the
calling process is for the time of the build.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from govma_core.errors import CommandError
from govma_core.process.proc import Process, lineage, read, send

_PR_SET_CHILD_SUBREAPER = 36
_PR_GET_CHILD_SUBREAPER = 37
_PATIENCE = 10.0
_PAUSE = 0.01
_libc = ctypes.CDLL(None, use_errno=True)


class Descendants:
    """The processes below this one that were not there when the object was made."""

    def __init__(self) -> None:
        self._before = {process.identity for process in descendants_of(os.getpid())}

    def end(self) -> list[Process]:
        """Kill and reap them all, and what they start meanwhile; give those that still ran.

        Children that `subprocess` waits for must have been waited for: their exit status is taken here. CommandError
        when one cannot be ended.
        """
        return end_all(
            lambda: [process for process in descendants_of(os.getpid()) if process.identity not in self._before]
        )


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
    """Kill what `find` gives until it gives nothing more; give those that still ran.

    All are stopped before the first is killed: those that multiply would replace it as long as there is room for one.
    """
    ended: dict[tuple[int, int], Process] = {}
    stopped: set[tuple[int, int]] = set()
    processes = find()
    # From here on: where there are many, the first look takes long, as they have the processors.
    deadline = time.monotonic() + _PATIENCE
    while processes:
        running = [process for process in processes if not process.zombie and process.identity not in stopped]
        for process in running:
            stopped.add(process.identity)
            if _send(process, signal.SIGSTOP):
                ended[process.identity] = process
        if not running:
            for process in processes:
                _reap(process) if process.zombie else _send(process, signal.SIGKILL)
            time.sleep(_PAUSE)
        if time.monotonic() > deadline:
            # Not one of them may stay stopped: an operator would not find out why.
            for process in processes:
                _send(process, signal.SIGKILL)
            names = ", ".join(f"{process.pid} ({process.name})" for process in processes[:5])
            raise CommandError(
                "These processes cannot be ended: {names}. Look at them with ps, and end them.", names=names
            )
        processes = find()
    return list(ended.values())


def left(variable: str, uid: int, places: Sequence[Path]) -> list[Process]:
    """Return the living processes of a user that were started with `variable` (NAME=value), or are at work in `places`.

    The second finds those that cleared their environment: they work in these directories or have something
    open there, and have no terminal. Neither this process nor those that it was started by are among them.
    """
    return [
        process
        for process in _of(uid)
        if _marked(process, variable) or (not process.terminal and _reaches(process, places))
    ]


def attended(uid: int, places: Sequence[Path]) -> list[Process]:
    """Return the processes of a user that are at work in `places` and have a terminal: most likely a person's."""
    return [process for process in _of(uid) if process.terminal and _reaches(process, places)]


def _of(uid: int) -> list[Process]:
    spared = {process.pid for process in lineage(os.getpid())}
    return [each for each in all_processes() if not each.zombie and each.pid not in spared and _user(each) == uid]


def _user(process: Process) -> int | None:
    # Not the owner of the directory in /proc: that is root as soon as a process makes itself undumpable.
    with suppress(OSError):
        for line in Path("/proc", str(process.pid), "status").read_bytes().splitlines():
            if line.startswith(b"Uid:"):
                return int(line.split()[1])
    return None


def _marked(process: Process, variable: str) -> bool:
    with suppress(OSError):
        return os.fsencode(variable) in Path("/proc", str(process.pid), "environ").read_bytes().split(b"\0")
    return False


def _reaches(process: Process, places: Sequence[Path]) -> bool:
    """Tell whether a process stands in one of the directories, is rooted or was loaded there, or has one open.

    The paths of one in a container are those of its own mounts: there, what has such a path must be the same for us.
    """
    directory = Path("/proc", str(process.pid))
    ours = _same_mounts(directory)
    links = [directory / name for name in ("cwd", "root", "exe")]
    with suppress(OSError):
        links += (directory / "fd").iterdir()
    for link in links:
        with suppress(OSError):
            path = link.readlink()
            within = any(path.is_relative_to(place) for place in places)
            if within and (ours or os.path.samestat(link.stat(), path.stat())):
                return True
    return False


def _same_mounts(directory: Path) -> bool:
    with suppress(OSError):
        return (directory / "ns/mnt").readlink() == Path("/proc/self/ns/mnt").readlink()
    return False


def all_processes() -> list[Process]:
    """Return all there are."""
    return [process for entry in os.listdir("/proc") if entry.isdecimal() and (process := read(int(entry)))]


def descendants_of(pid: int) -> list[Process]:
    """Return the processes that a process started, those that these started, and so on."""
    children: dict[int, list[Process]] = {}
    for process in all_processes():
        children.setdefault(process.parent, []).append(process)
    descendants, parents = [], [pid]
    while parents:
        below = children.pop(parents.pop(), [])
        descendants += below
        parents += [process.pid for process in below]
    return descendants


def _send(process: Process, number: signal.Signals) -> bool:
    try:
        return send(process.pid, process.started, number)
    except OSError:
        return False


def _reap(process: Process) -> None:
    if process.parent == os.getpid():
        with suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)


def _prctl(option: int, argument: object) -> None:
    if _libc.prctl(option, argument, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
