"""A runner with one fault in it: `python -m tests.support.faulty_runner <name> <fault> <state_dir> <run-id>`.

`event:N` kills it (SIGKILL) when it writes its Nth event, `call:N` before the Nth time it changes a file system,
`error:N:ENOSPC` has that change fail with this error, and all that follow it, and `once:N:ENOSPC` that one alone.
`none` is a runner without a fault; how many events and changes it came to is told on standard output.
`clock:N:SECONDS` sets its clock back when it writes its Nth event.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import time

from govma_core.fs import safefs
from govma_core.runs import log, runner

CHANGES = frozenset(
    f"os.{name}"
    for name in ("rename", "link", "symlink", "mkdir", "rmdir", "remove", "chmod", "chown", "utime", "truncate")
)
_GROWING = frozenset({"os.link", "os.symlink", "os.mkdir", "open"})


class Fault:
    """Counts, and strikes once."""

    def __init__(self, kind: str, number: int, error: int) -> None:
        self.kind, self.number, self.error = kind, number, error
        self.events = self.calls = 0
        self._over = False
        self._process = os.getpid()

    def event(self) -> None:
        """Count an event that is about to be written."""
        self.events += 1
        if self.kind == "event" and self.events == self.number:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind == "clock" and self.events == self.number:
            real = time.time
            time.time = lambda: real() - self.error

    def call(self, name: str, arguments: tuple[object, ...]) -> None:
        """Count a change that is about to be made: what Python tells its audit hooks."""
        if name == "open":
            # Only what makes a file: writing over one that is there takes no room.
            flags = arguments[2]
            path = arguments[0]
            if not isinstance(flags, int) or not flags & os.O_CREAT or os.path.exists(str(path)):
                return
        elif name not in CHANGES:
            return
        if os.getpid() != self._process:
            return
        self.calls += 1
        if self.kind == "call" and self.calls == self.number:
            os.kill(os.getpid(), signal.SIGKILL)
        struck = self.calls >= self.number if self.kind == "error" else self.kind == "once" and self._first(name)
        if struck and name in _GROWING:
            raise OSError(self.error, os.strerror(self.error))

    def _first(self, name: str) -> bool:
        """Tell whether this is the first change from the wanted one on that an error can come of."""
        if self._over or self.calls < self.number or name not in _GROWING:
            return False
        self._over = True
        return True


def main() -> int:
    del sys.argv[1]
    kind, _, rest = sys.argv.pop(1).partition(":")
    number, _, name = rest.partition(":")
    fault = Fault(kind, int(number or 0), int(name) if name.isdecimal() else getattr(errno, name, 0))
    write, rename = log.EventLog.write, safefs._renameat2

    def counted(self: log.EventLog, event: object) -> None:
        fault.event()
        write(self, event)  # type: ignore[arg-type]

    def renamed(*arguments: object) -> None:
        # Made by libc, so that no audit hook hears of it.
        fault.call("os.rename", ())
        rename(*arguments)  # type: ignore[arg-type]

    log.EventLog.write = counted  # type: ignore[method-assign]
    safefs._renameat2 = renamed  # type: ignore[assignment]
    sys.addaudithook(fault.call)
    code = runner.main()
    if kind == "none":
        print(fault.events, fault.calls, flush=True)
    return code


if __name__ == "__main__":
    result = 1
    try:
        result = main()
    finally:
        os._exit(result)
