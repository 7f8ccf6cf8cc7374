"""The app that is shown while the settings are wrong, until they are right or the operator leaves."""

from __future__ import annotations

import os
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from govma_console.output import hinted
from govma_console.tui.terminal import driver_for
from govma_core.errors import ExitCode
from govma_core.text.language import tr

LOOK_AGAIN = -1
"""The exit code of the app that asks to read the settings once more."""


class ProblemApp(App[int]):
    """Shows the sentences; ends with the exit code of wrong settings, or with LOOK_AGAIN."""

    CSS = """
    Screen { align: center middle; }
    #problem { width: 90%; max-width: 100; height: auto; max-height: 90%; border: round $error; padding: 1 2; }
    """
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,escape,ctrl+c", f"leave({int(ExitCode.CONFIGURATION)})", show=False),
        Binding("r", f"leave({LOOK_AGAIN})", show=False),
    ]

    def __init__(self, text: str) -> None:
        super().__init__(driver_class=driver_for(os.environ))
        self.animation_level = "none"
        self._text = text

    def compose(self) -> ComposeResult:
        """Make the text with the sentences."""
        with VerticalScroll(id="problem") as box:
            box.border_title = tr("The settings are wrong")
            lines = [Content(f"• {line}") for line in hinted(self._text).split("\n")]
            advice = tr("`govma-console config` prints the effective settings and where each comes from.")
            keys = tr("r refreshes, q quits.")
            yield Static(Content("\n").join([*lines, Content(""), Content.styled(f"{advice} {keys}", "$muted")]))

    def action_leave(self, code: int) -> None:
        """Leave with an exit code."""
        self.exit(code)
