"""The console ends with its terminal."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading


def leave_with_terminal() -> None:
    """End this process as soon as its terminal is gone, also where that sends no SIGHUP.

    It sends none to who has it from another session, as below `su -c`. What draws would wait for ever then, and what
    reads keys would be busy for ever; runs are processes of their own and go on.
    """
    threading.Thread(target=_end_when_hung_up, args=[sys.stdin.fileno()], name="terminal", daemon=True).start()


def _end_when_hung_up(fd: int) -> None:
    gone = select.poll()
    gone.register(fd, 0)
    gone.poll()
    os._exit(128 + signal.SIGHUP)
