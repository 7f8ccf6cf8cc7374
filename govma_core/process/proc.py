"""Which process it was: a pid alone may be somebody else's by now, so its start and the machine's boot go with it."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path


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
        """Send a signal to it and to nobody else; False when it is gone. PermissionError as kill(2) gives it."""
        try:
            fd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            # Checked after the descriptor was opened: it cannot change hands any more.
            if not self.alive():
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
    """Read the start time (field 22 of proc_pid_stat(5)); None when there is no such process or it is a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The name in parentheses may hold anything: the fields begin behind the last one.
    fields = stat[stat.rindex(b")") + 2 :].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[19])
