"""The dialog that lists the runs."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from govma_console import formats
from govma_console.output import hinted
from govma_console.tui.dialogs.base import Panel
from govma_core.runs.store import RunRecord
from govma_core.text.language import tr

_MARKS = {
    "ok": "✓",
    "unchanged": "✓",
    "running": "●",
    "starting": "●",
    "waiting": "…",
    "refused": "-",
    "cancelled": "-",
}


class RunsScreen(Panel[str | None]):
    """Lists all runs, the latest first; its answer is the id of the chosen one."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("q", "leave", show=False)]

    def __init__(self, runs: tuple[RunRecord, ...], run_in_sight: str) -> None:
        super().__init__()
        self._runs, self._run_in_sight = runs, run_in_sight

    def compose(self) -> ComposeResult:
        """Make the list."""
        with Vertical(id="dialog"):
            yield Static(tr("Runs ({count})", count=len(self._runs)), id="dialog-title")
            yield OptionList(*(Option(_line(run), id=run.id) for run in self._runs), id="runs", compact=True)
            yield Static(tr("Enter shows the log, Esc closes"), classes="hint")

    def on_mount(self) -> None:
        """Begin at the run that is shown."""
        runs = self.query_one("#runs", OptionList)
        runs.highlighted = next((n for n, run in enumerate(self._runs) if run.id == self._run_in_sight), 0)
        runs.focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Answer with the run."""
        self.dismiss(event.option.id)


def _line(run: RunRecord) -> Content:
    took = formats.duration(run.finished - run.started) if run.finished and run.started else ""
    message = hinted(run.message).split("\n")[0] or run.stage
    # No colour: the line that is highlighted has its own.
    state = f"{_MARKS.get(run.state, '✗')} {tr(run.state)}"
    return Content(
        f"{formats.moment(run.created)}  {run.operation:8}  {state:13} {took:>6}  {run.by[:12]:12}  {message}"
    )
