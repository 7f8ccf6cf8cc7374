"""Processes as /proc shows them, and an identity that outlives them.

A pid alone may belong to another process by now, so the start of the process and the boot of the machine go with it.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Process:
    """One process as /proc shows it; `started` (clock ticks since boot) tells it from a later one with its pid."""

    pid: int
    started: int
    parent: int
    zombie: bool
    terminal: bool
    name: str

    @property
    def identity(self) -> tuple[int, int]:
        """Return what no other process has."""
        return self.pid, self.started


def read(pid: int) -> Process | None:
    """Read proc_pid_stat(5); None when there is no such process (any more)."""
    try:
        stat = Path("/proc", str(pid), "stat").read_bytes()
    except OSError:
        return None
    # The name in parentheses may hold anything: the other fields begin behind the last one.
    end = stat.rindex(b")")
    name = stat[stat.index(b"(") + 1 : end].decode("utf-8", "backslashreplace")
    fields = stat[end + 2 :].split()
    return Process(pid, int(fields[19]), int(fields[1]), fields[0] in (b"Z", b"X"), fields[4] != b"0", name)


def lineage(pid: int) -> list[Process]:
    """Return a process, the one that started it, and so on up to the first of all."""
    line: dict[int, Process] = {}
    while pid not in line and (process := read(pid)) is not None:
        line[pid] = process
        pid = process.parent
    return list(line.values())


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process that cannot be mistaken for another: pid, start in clock ticks since boot, id of that boot."""

    pid: int
    started: int
    boot: str

    @classmethod
    def current(cls) -> ProcessId:
        """Return this process."""
        return cls.of(os.getpid())

    @classmethod
    def of(cls, pid: int) -> ProcessId:
        """Return a process that is there: a child of this one."""
        return cls(pid, _start_of(pid) or 0, _boot())

    def alive(self) -> bool:
        """Tell whether it still runs; a zombie does not."""
        return self.pid > 0 and self.boot == _boot() and _start_of(self.pid) == self.started

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal to this very process; False when it is gone. PermissionError as kill(2) gives it."""
        return self.boot == _boot() and send(self.pid, self.started, number)


def send(pid: int, started: int, number: signal.Signals) -> bool:
    """Send a signal to the process that started then, and to no later one of its pid; False when it is gone.

    OSError when that cannot be done.
    """
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        # Looked at once it is held by the descriptor, which cannot change hands any more.
        if _start_of(pid) != started:
            return False
        signal.pidfd_send_signal(fd, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(fd)
    return True


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _start_of(pid: int) -> int | None:
    """Return the start of a process; None when there is none with this pid, or it is a zombie."""
    process = read(pid)
    return None if process is None or process.zombie else process.started
