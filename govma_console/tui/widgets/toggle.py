"""A checkbox whose state can be read without colour."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Checkbox


class Toggle(Checkbox):
    """`[x]` or `[ ]`, and what it means."""

    def __init__(self, label: str, value: bool = False, *, id: str) -> None:
        super().__init__(label, value, id=id, compact=True)

    @property
    def _button(self) -> Content:
        return Content("[x]" if self.value else "[ ]")
