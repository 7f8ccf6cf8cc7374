"""A text that is drawn again only where it differs: each update costs bytes on a slow line."""

from __future__ import annotations

from textual.content import Content
from textual.visual import VisualType
from textual.widgets import Static


class SteadyText(Static):
    """Shows a text; an update with the same text and the same styles does nothing."""

    def update(self, content: VisualType = "", *, layout: bool = True) -> None:
        """Show another text."""
        before = self.content
        if not (isinstance(before, Content) and isinstance(content, Content) and before.is_same(content)):
            super().update(content, layout=layout)
