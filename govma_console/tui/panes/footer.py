"""The footer: the actions with their keys; those that are not available now are dim."""

from __future__ import annotations

from textual import events
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from govma_console.tui.actions import Action, Place, for_footer
from govma_console.tui.availability import Situation
from govma_console.tui.site_state import EMPTY
from govma_core.text.language import tr

_SHORT = {"refresh": tr("Reload"), "cancel": tr("Cancel")}


class ActionBar(Widget):
    """Two lines: operations, then what belongs to the pane with the focus. Each can be clicked."""

    class Clicked(Message):
        """An action was clicked."""

        def __init__(self, action_id: str) -> None:
            super().__init__()
            self.action_id = action_id

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._place: Place = "table"
        self._situation = Situation(EMPTY, None, None)
        self._lines: Content = Content("")
        self._spots: list[tuple[int, int, int, str]] = []

    def show(self, place: Place, situation: Situation) -> None:
        """Show the actions for a pane in a situation."""
        self._place, self._situation = place, situation
        self._compose_lines()

    def on_resize(self) -> None:
        """Fit the lines to the new width."""
        self._compose_lines()

    def _compose_lines(self) -> None:
        self._spots = []
        lines = Content("\n").join([self._line(number) for number in (1, 2)])
        if lines.markup != self._lines.markup:
            self._lines = lines
            self.refresh()

    def _line(self, number: int) -> Content:
        actions = [action for action in for_footer(number, self._place) if action.in_sight(self._situation)]
        labels = [(action, action.label) for action in actions]
        gap = 2
        if self._width(labels, gap) > self.size.width:
            gap = 1
            labels = [(action, _SHORT.get(action.id, action.label)) for action in actions]
        while labels and self._width(labels, gap) > self.size.width:
            # Refreshing happens by itself, so it goes first; Help and Quit are last and stay.
            spare = next((at for at, (action, _) in enumerate(labels) if action.id == "refresh"), -3)
            labels.pop(spare if len(labels) > 2 else 0)
        items = []
        at = 0
        for action, label in labels:
            items.append(self._item(action, label))
            self._spots.append((number - 1, at, at + items[-1].cell_length, action.id))
            at += items[-1].cell_length + gap
        return Content(" " * gap).join(items)

    def _width(self, labels: list[tuple[Action, str]], gap: int) -> int:
        return sum(self._item(action, label).cell_length for action, label in labels) + gap * (len(labels) - 1)

    def _item(self, action: Action, label: str) -> Content:
        if action.reason(self._situation):
            without_colour = f"({label})" if self.app.no_color else label
            return Content.assemble((f"{action.shown_key} {without_colour}", "$disabled"))
        return Content.assemble((action.shown_key, "bold $text-accent"), f" {label}")

    def on_click(self, event: events.Click) -> None:
        """Carry out the action that was clicked."""
        x, y = event.x - self.styles.padding.left, event.y
        for line, start, behind, action_id in self._spots:
            if line == y and start <= x < behind:
                self.post_message(self.Clicked(action_id))

    def render(self) -> Content:
        """Return both lines."""
        return self._lines
