"""The help screen: every action with its keys, and why it is not available now."""

from __future__ import annotations

import textwrap
from itertools import groupby
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from govma_console.tui.actions import ACTIONS, key_name
from govma_console.tui.availability import Situation
from govma_console.tui.dialogs.base import Panel
from govma_core.text.language import tr

_INDENT = 26
_MOVING = (
    (
        tr("↑ ↓ PgUp PgDn Home End"),
        tr("Move in the table and in the log (k, j, g, G too); scrolling up pauses the log."),
    ),
    ("Esc", tr("Leave a dialog, a filter, a search or a selection; go back to the table.")),
    ("Ctrl+P", tr("Command palette: all actions by name.")),
    (
        tr("Mouse"),
        tr("Click a row, a column's title (sorts), an action of the footer; the wheel scrolls; Shift+click selects."),
    ),
)


class HelpScreen(Panel[None]):
    """Lists all keys."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("q,question_mark,f1,enter", "leave", show=False)]

    def __init__(self, situation: Situation) -> None:
        super().__init__()
        self._situation = situation

    def compose(self) -> ComposeResult:
        """Make the text, which can be scrolled."""
        with Vertical(id="dialog", classes="tall"):
            yield Static(tr("Keys"), id="dialog-title")
            with VerticalScroll(id="help-body"):
                yield Static("", id="help-text")
            yield Static(tr("Esc closes"), classes="hint")

    def on_mount(self) -> None:
        """Focus the text, so that keys scroll it."""
        self.query_one("#help-body").focus()

    def on_resize(self) -> None:
        """Break the lines for the new width."""
        # The dialog is at most 110 wide and takes nine tenths; its frame, padding and scroll bar take six.
        width = min(110, self.size.width * 9 // 10) - 6
        self.query_one("#help-text", Static).update(self._text(max(40, width)))

    def _text(self, width: int) -> Content:
        lines: list[Content] = []
        for group, actions in groupby(ACTIONS, key=lambda action: action.group):
            lines.append(Content.styled(group, "bold $text-primary"))
            for action in actions:
                keys = ", ".join(key_name(key) for key in action.keys)
                lines += _entry(keys, action.label, action.help, width)
                reason = action.reason(self._situation)
                if reason:
                    lines += _wrapped(tr("not now: {reason}", reason=reason), "$text-warning", width)
            lines.append(Content(""))
        lines.append(Content.styled(tr("Everywhere"), "bold $text-primary"))
        for key, text in _MOVING:
            lines += _entry(key, "", text, width)
        return Content("\n").join(lines)


def _entry(keys: str, label: str, text: str, width: int) -> list[Content]:
    head = f"  {keys:10} {label:12} "
    first, *more = textwrap.wrap(text, width - _INDENT)
    if len(head) > _INDENT:
        return [Content.styled(f"  {keys}", "bold $text-accent"), *_wrapped(text, "", width)]
    return [
        Content.assemble((f"  {keys:10}", "bold $text-accent"), (f" {label:12} ", "bold"), first),
        *(Content(" " * _INDENT + line) for line in more),
    ]


def _wrapped(text: str, style: str, width: int) -> list[Content]:
    return [Content.styled(" " * _INDENT + line, style) for line in textwrap.wrap(text, width - _INDENT)]
