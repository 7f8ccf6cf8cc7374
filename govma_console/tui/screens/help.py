"""The help screen: every action with its keys, and why it is not available now."""

from __future__ import annotations

from itertools import groupby
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from govma_console.tui.actions import ACTIONS, Situation, key_name

_MOVING = (
    ("↑ ↓ PgUp PgDn Home End", "Move in the table and in the log (k, j, g, G too); scrolling up pauses the log."),
    ("Esc", "Leave a dialog, a filter, a search or a selection; go back to the table."),
    ("Ctrl+P", "Command palette: all actions by name."),
    (
        "Mouse",
        "Click a row, a column's title (sorts), an action of the footer; the wheel scrolls; Shift+click selects.",
    ),
)


class HelpScreen(ModalScreen[None]):
    """All keys."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,f1,ctrl+c,enter", "leave", "Close", show=False)
    ]

    def __init__(self, situation: Situation) -> None:
        super().__init__()
        self._situation = situation

    def compose(self) -> ComposeResult:
        """Make the text."""
        with Vertical(id="dialog", classes="tall"):
            yield Static("Keys", id="dialog-title")
            with VerticalScroll(id="help-body"):
                yield Static(self._text())
            yield Static("Esc closes", classes="hint")

    def on_mount(self) -> None:
        """Let the keys scroll."""
        self.query_one("#help-body").focus()

    def action_leave(self) -> None:
        """Close."""
        self.dismiss(None)

    def _text(self) -> Content:
        lines = []
        for group, actions in groupby(ACTIONS, key=lambda action: action.group):
            lines.append(Content.assemble((group, "bold $text-primary")))
            for action in actions:
                keys = ", ".join(key_name(key) for key in action.keys)
                lines.append(
                    Content.assemble((f"  {keys:14}", "bold $text-accent"), (f"{action.label:12}", "bold"), action.help)
                )
                reason = action.reason(self._situation)
                if reason:
                    lines.append(Content.assemble((f"{'':16}not now: {reason}", "$text-warning")))
            lines.append(Content(""))
        lines.append(Content.assemble(("Everywhere", "bold $text-primary")))
        for key, text in _MOVING:
            lines.append(Content.assemble((f"  {key}  ", "bold $text-accent"), text))
        return Content("\n").join(lines)
