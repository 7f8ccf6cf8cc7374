"""Starts the terminal app; the only module that anything outside this package imports."""

from __future__ import annotations

import argparse
import os
import select
import signal
import sys
import threading
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from govma_console.config_option import effective
from govma_console.output import hinted, warn
from govma_console.tui.site_state import Snapshot, SnapshotReader
from govma_console.tui.terminal import driver_for
from govma_core.errors import ConfigurationError, ExitCode
from govma_core.text.language import tr


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


LOOK_AGAIN = -1
"""What the app gives when the settings are to be read once more."""


class ProblemApp(App[int]):
    """Shows sentences; gives the exit code of wrong settings."""

    CSS = """
    Screen { align: center middle; }
    #problem { width: 90%; max-width: 100; height: auto; max-height: 90%; border: round $error; padding: 1 2; }
    """
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,escape,ctrl+c", "leave", show=False),
        Binding("r", "again", show=False),
    ]

    def __init__(self, text: str) -> None:
        super().__init__(driver_class=driver_for(os.environ))
        self.animation_level = "none"
        self._text = text

    def compose(self) -> ComposeResult:
        """Make the text."""
        with VerticalScroll(id="problem") as box:
            box.border_title = tr("The settings are wrong")
            lines = [Content(f"• {line}") for line in hinted(self._text).split("\n")]
            advice = hinted(tr("`govma-console config` prints the effective settings and where each comes from."))
            keys = tr("r refreshes, q quits.")
            yield Static(Content("\n").join([*lines, Content(""), Content.assemble((f"{advice} {keys}", "$muted"))]))

    def action_leave(self) -> None:
        """Leave."""
        self.exit(int(ExitCode.CONFIGURATION))

    def action_again(self) -> None:
        """Leave to read the settings once more."""
        self.exit(LOOK_AGAIN)


def run(given: argparse.Namespace) -> int:
    """Run the app until somebody leaves it; give the exit code. Needs a terminal on standard input and error."""
    leave_with_terminal()
    while True:
        try:
            settings = effective(given)
            break
        except ConfigurationError as error:
            pass  # self import

            code = ProblemApp(str(error)).run()
            if code != LOOK_AGAIN:
                return code or ExitCode.CONFIGURATION
    found: list[Snapshot] = []
    # While textual is being imported the disk is read.
    reading = threading.Thread(target=lambda: found.append(SnapshotReader(settings).read()), daemon=True)
    reading.start()
    from govma_console.tui.app import ConsoleApp
    from govma_console.tui.background import Controller

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
