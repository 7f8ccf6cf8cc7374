"""Starts the terminal app; the only module that anything outside this package imports."""

from __future__ import annotations

import argparse
import os
import select
import signal
import sys
import threading

from govma_console.config_option import effective
from govma_console.output import warn
from govma_console.tui.site_state import Snapshot, SnapshotReader
from govma_core.errors import ConfigurationError, ExitCode
from govma_core.text.language import tr


def leave_with_terminal() -> None:
    """End this process as soon as its terminal is gone, also where no SIGHUP comes.

    A process of another session than the terminal's gets none, as below `su -c`: the thread that draws would then wait
    for ever, and the one that reads keys would be busy for ever. Runs are processes of their own, and go on.
    """
    threading.Thread(target=_end_when_hung_up, args=[sys.stdin.fileno()], name="terminal", daemon=True).start()


def _end_when_hung_up(fd: int) -> None:
    hang_up = select.poll()
    hang_up.register(fd, 0)
    hang_up.poll()
    os._exit(128 + signal.SIGHUP)


def run(options: argparse.Namespace) -> int:
    """Run the app on this terminal until the operator leaves it, and return the exit code."""
    leave_with_terminal()
    while True:
        try:
            settings = effective(options)
            break
        except ConfigurationError as error:
            from govma_console.tui.problem import LOOK_AGAIN, ProblemApp

            code = ProblemApp(str(error)).run()
            if code != LOOK_AGAIN:
                return code or ExitCode.CONFIGURATION
    snapshots: list[Snapshot] = []
    # While textual is being imported the disk is read.
    reading = threading.Thread(target=lambda: snapshots.append(SnapshotReader(settings).read()), daemon=True)
    reading.start()
    from govma_console.tui.app import ConsoleApp
    from govma_console.tui.background import Background

    reading.join(timeout=0.5)
    background = Background(settings, snapshots[0] if snapshots else None)
    app = ConsoleApp(background)
    code = app.run()
    background.settle()
    if background.farewell:
        warn(background.farewell)
    if app.fault:
        warn(tr("govma-console: {fault}", fault=app.fault))
        return ExitCode.FAILED
    return int(code or 0)
