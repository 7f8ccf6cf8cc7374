"""Starts the terminal app; the only module that anything outside this package imports."""

from __future__ import annotations

import argparse
import threading

from govma_console.commands.settings import effective
from govma_console.output import warn
from govma_console.tui.hangup import leave_with_terminal
from govma_console.tui.snapshot import Snapshot, SnapshotReader
from govma_core.errors import ConfigurationError, ExitCode
from govma_core.language import tr


def run(given: argparse.Namespace) -> int:
    """Run the app until somebody leaves it; give the exit code. Needs a terminal on standard input and error."""
    leave_with_terminal()
    while True:
        try:
            settings = effective(given)
            break
        except ConfigurationError as error:
            from govma_console.tui.problem import LOOK_AGAIN, ProblemApp

            code = ProblemApp(str(error)).run()
            if code != LOOK_AGAIN:
                return code or ExitCode.CONFIGURATION
    found: list[Snapshot] = []
    # While textual is being imported the disk is read.
    reading = threading.Thread(target=lambda: found.append(SnapshotReader(settings).read()), daemon=True)
    reading.start()
    from govma_console.tui.app import ConsoleApp
    from govma_console.tui.controller import Controller

    reading.join(timeout=0.5)
    controller = Controller(settings, found[0] if found else None)
    app = ConsoleApp(controller)
    code = app.run()
    controller.settle()
    if controller.farewell:
        warn(controller.farewell)
    if app.fault:
        warn(tr("govma-console: {fault}", fault=app.fault))
        return ExitCode.FAILED
    return int(code or 0)
