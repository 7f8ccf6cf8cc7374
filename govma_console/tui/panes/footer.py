"""The footer: the actions with their keys; those that are not available now are dim."""

from __future__ import annotations

from textual.content import Content
from textual.reactive import var
from textual.style import Style

from govma_console.tui.actions import Action, Place, for_footer
from govma_console.tui.availability import Situation
from govma_console.tui.panes.steady_text import SteadyText
from govma_console.tui.site_state import EMPTY
from govma_core.text.language import tr

_SHORT = {"refresh": tr("Reload"), "cancel": tr("Cancel")}


class ActionBar(SteadyText):
    """Two lines: operations, then what belongs to the pane with the focus. Each can be clicked."""

    # What can be clicked looks as it is written, and not as a link.
    auto_links = var(False)
    _place: Place = "table"
    _situation = Situation(EMPTY, None, None)

    def show(self, place: Place, situation: Situation) -> None:
        """Show the actions for a pane in a situation."""
        self._place, self._situation = place, situation
        self.on_resize()

    def on_resize(self) -> None:
        """Fit the lines to the width."""
        self.update(Content("\n").join([self._line(number) for number in (1, 2)]), layout=False)

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
        return Content(" " * gap).join(self._item(action, label) for action, label in labels)

    def _width(self, labels: list[tuple[Action, str]], gap: int) -> int:
        return sum(self._item(action, label).cell_length for action, label in labels) + gap * (len(labels) - 1)

    def _item(self, action: Action, label: str) -> Content:
        if action.reason(self._situation):
            without_colour = f"({label})" if self.app.no_color else label
            item = Content.styled(f"{action.shown_key} {without_colour}", "$disabled")
        else:
            item = Content.assemble((action.shown_key, "bold $text-accent"), f" {label}")
        return item.stylize(Style.from_meta({"@click": f"screen.carry_out('{action.id}')"}))
