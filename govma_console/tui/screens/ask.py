"""A dialog with one line to type."""

from __future__ import annotations

from textual.widget import Widget
from textual.widgets import Input

from govma_console.tui.screens.dialog import Dialog, Result


class AskDialog(Dialog):
    """Asks for a text; the result holds it as `text`."""

    def __init__(self, heading: str, text: str, verb: str, value: str = "", placeholder: str = "") -> None:
        super().__init__()
        self.heading, self.verb = heading, verb
        self._text, self._value, self._placeholder = text, value, placeholder

    def options(self) -> list[Widget]:
        """Return the field."""
        return [Input(self._value, placeholder=self._placeholder, id="answer", compact=True)]

    def opened(self) -> None:
        """Show what it is about; here nothing can be lost, so the field has the focus."""
        self.say(self._text, ready=True)
        self.query_one("#answer").focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take Enter for the button."""
        event.stop()
        self.dismiss(self.result())

    def result(self) -> Result:
        """Return the text; nothing when it is empty."""
        text = self.query_one("#answer", Input).value.strip()
        return {"text": text} if text else None
