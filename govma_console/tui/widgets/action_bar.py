"""The footer: what can be done now, each with its key; what can't be done is dim."""

from __future__ import annotations

from textual.content import Content
from textual.widget import Widget

from govma_console.tui.actions import Action, Place, Situation, for_footer
from govma_console.tui.snapshot import EMPTY

_SHORT = {"refresh": "Refresh", "cancel": "Cancel"}


class ActionBar(Widget):
    """Two lines: operations, then what belongs to the pane with the focus. Each can be clicked."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._place: Place = "table"
        self._situation = Situation(EMPTY, None, None)
        self._lines: Content = Content("")

    def show(self, place: Place, situation: Situation) -> None:
        """Show the actions for a pane in a situation."""
        self._place, self._situation = place, situation
        self._compose_lines()

    def on_resize(self) -> None:
        """Make the most of the width."""
        self._compose_lines()

    def _compose_lines(self) -> None:
        lines = Content("\n").join([self._line(number) for number in (1, 2)])
        if lines.markup != self._lines.markup:
            self._lines = lines
            self.refresh()

    def _line(self, number: int) -> Content:
        actions = for_footer(number, self._place)
        labels = [(action, action.label) for action in actions]
        gap = 2
        if _width(labels, gap) > self.size.width:
            gap = 1
            labels = [(action, _SHORT.get(action.id, action.label)) for action in actions]
        while labels and _width(labels, gap) > self.size.width:
            # Help and Quit stand last and stay.
            labels.pop(-3 if len(labels) > 2 else 0)
        return Content(" " * gap).join([self._item(action, label) for action, label in labels])

    def _item(self, action: Action, label: str) -> Content:
        off = bool(action.reason(self._situation))
        key_style, label_style = ("$disabled", "$disabled") if off else ("bold $text-accent", "$foreground")
        return Content.from_markup(
            f"[@click=screen.act('{action.id}')][{key_style}]$key[/] [{label_style}]$label[/][/]",
            key=action.shown_key,
            label=f"({label})" if off and self.app.no_color else label,
        )

    def render(self) -> Content:
        """Give both lines."""
        return self._lines


def _width(labels: list[tuple[Action, str]], gap: int) -> int:
    return sum(len(action.shown_key) + 1 + len(label) for action, label in labels) + gap * (len(labels) - 1)
