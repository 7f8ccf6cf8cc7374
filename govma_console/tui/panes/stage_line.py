"""The stages of a run in as few lines as they take."""

from __future__ import annotations

import time

from textual.content import Content
from textual.widgets import Static

from govma_console.formats import duration
from govma_console.tui.panes.run_progress import RunProgress
from govma_core.runs.store import RunRecord

_MARKS = {
    "": ("●", "bold $text-accent"),
    "ok": ("✓", "$text-success"),
    "skipped": ("-", "$muted"),
    "warning": ("⚠", "$text-warning"),
    "failed": ("✗", "bold $text-error"),
    "cancelled": ("✗", "$text-warning"),
}


class StageLine(Static):
    """One or more lines; empty while there is nothing to say."""

    def __init__(self, *, id: str) -> None:
        super().__init__("", id=id)
        self._said = ""
        self._shown: tuple[RunRecord | None, RunProgress] = (None, RunProgress())

    def on_resize(self) -> None:
        """Break the lines anew."""
        self.call_after_refresh(lambda: self.show(*self._shown))

    def show(self, run: RunRecord | None, progress: RunProgress) -> None:
        """Show how far a run is. Nothing is drawn when nothing changed."""
        self._shown = run, progress
        parts: list[Content] = []
        now = time.time()
        for stage in progress.stages:
            going = not stage.outcome and run is not None and not run.ended
            mark, style = _MARKS.get(stage.outcome, _MARKS["skipped"])
            if not stage.outcome and not going:
                mark, style = _MARKS["cancelled"]
            # Whole seconds while it goes on: more would be drawn four times a second.
            took = duration(float(int(max(0.0, now - stage.began)))).replace(".0s", "s") if going else ""
            took = took or duration(stage.seconds) if stage.outcome or going else "?"
            parts.append(Content.assemble((f"{mark} {stage.name}", style), (f" {took}", "$muted")))
            if going and progress.amount():
                parts.append(Content.assemble((progress.amount(), "$muted")))
        content = Content("\n").join(_broken(parts, (self.size.width or self.app.size.width - 4)))
        if content.markup != self._said:
            self._said = content.markup
            self.update(content)


def _broken(parts: list[Content], width: int) -> list[Content]:
    """Put as many parts on a line as it takes."""
    lines: list[list[Content]] = [[]]
    used = 0
    for part in parts:
        if lines[-1] and used + part.cell_length > width:
            lines.append([])
            used = 0
        lines[-1].append(part)
        used += part.cell_length + 2
    return [Content("  ").join(line) for line in lines]
