"""A program in a real pseudo-terminal of 80x24: keys in, bytes out, and what it costs."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from pathlib import Path
from types import TracebackType

_TICKS = os.sysconf("SC_CLK_TCK")


class Session:
    """Runs a command; its output is read all the time that a method of this waits."""

    def __init__(self, command: list[str], size: tuple[int, int] = (80, 24)) -> None:
        self._command, self._size = command, size
        self.tail = b""

    def __enter__(self) -> Session:
        self._began = time.perf_counter()
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            kept = {
                name: value for name, value in os.environ.items() if not name.startswith(("SSH", "NO_COLOR", "GOV"))
            }
            os.execvpe(self._command[0], self._command, kept | {"TERM": "xterm-256color", "LANG": "C.UTF-8"})
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", self._size[1], self._size[0], 0, 0))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._fd)

    def write(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._fd, keys)

    def read(self, seconds: float) -> bytes:
        """Return what comes next, b'' when nothing does for so long."""
        if not select.select([self._fd], [], [], seconds)[0]:
            return b""
        try:
            found = os.read(self._fd, 1 << 16)
        except OSError:
            raise RuntimeError(f"the program ended: {self.tail[-500:]!r}") from None
        self.tail = (self.tail + found)[-(1 << 16) :]
        return found

    def settle(self, seconds: float) -> None:
        """Read for so long."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.read(left)

    def until_answer(self, key: bytes, patience: float = 30.0) -> float:
        """Press a key as soon as something is drawn; give seconds from the start until it changed the screen."""
        until = time.monotonic() + patience
        while b"2021-" not in self.tail:
            self.read(0.05)
            if time.monotonic() > until:
                raise RuntimeError(f"nothing was drawn: {self.tail[-500:]!r}")
        while self.read(0.004):
            pass
        self.write(key)
        while not self.read(0.05):
            if time.monotonic() > until:
                raise RuntimeError("a key had no effect")
        return time.perf_counter() - self._began

    def until_change(self, key: bytes, patience: float = 10.0) -> float:
        """Press the key that shows or hides the times of log lines; give the seconds until that is on the screen."""
        # A colon between digits in column 3 of a line of the log is a time; its count tells which of both is drawn.
        pressed = time.perf_counter()
        self.write(key)
        seen = b""
        before = self._times
        while time.perf_counter() - pressed < patience:
            seen += self.read(0.01)
            shown = _shows_times(seen)
            if shown is not None and shown != before:
                self._times = shown
                return time.perf_counter() - pressed
        raise RuntimeError(f"the key had no effect within {patience} s")

    _times = False

    def until_shows(self, text: str, patience: float = 120.0) -> None:
        """Wait until a text was drawn."""
        until = time.monotonic() + patience
        while text.encode() not in self.tail:
            self.read(0.1)
            if time.monotonic() > until:
                raise RuntimeError(f"{text!r} was not drawn")

    def use(self, seconds: float) -> tuple[float, int]:
        """Read for so long; give the seconds of CPU of the program and the bytes it wrote."""
        before, sent = self._cpu(), 0
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            sent += len(self.read(left))
        return self._cpu() - before, sent

    def memory(self) -> float:
        """Return the proportional set size in MiB."""
        lines = Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024

    def _cpu(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS


def _shows_times(drawn: bytes) -> bool | None:
    """Tell whether log lines were drawn with times, or without; None when no whole line of the log is there."""
    at = drawn.rfind(b"line ")
    if at < 0:
        return None
    before = drawn[max(0, at - 60) : at]
    return before.count(b":") >= 2
