"""A checkbox whose state can be read without colour."""

from __future__ import annotations

from textual.widgets import Checkbox


class Toggle(Checkbox):
    """`[x]` or `[ ]`, and what it means."""

    BUTTON_LEFT = "["
    BUTTON_RIGHT = "]"
    BUTTON_INNER = " "

    def __init__(self, label: str, value: bool = False, *, id: str) -> None:
        super().__init__(label, value, id=id, compact=True)
        self.BUTTON_INNER = "x" if value else " "

    def watch_value(self) -> None:
        """Show the state."""
        self.BUTTON_INNER = "x" if self.value else " "
        super().watch_value()
