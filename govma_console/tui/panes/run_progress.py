"""How far a run is: its stages as its events tell them, how long it should still take, and the line that shows it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from textual.content import Content

from govma_console.formats import duration, whole_seconds
from govma_console.tui.panes.log_file import LogFile
from govma_console.tui.panes.steady_text import SteadyText
from govma_core.events import Event, Progress, RunFinished, StageFinished, StageStarted
from govma_core.runs.store import RunRecord, RunStore
from govma_core.text.clean import clean_line
from govma_core.text.language import tr

_EARLIER_RUNS = 5
_MOST_LINES = 4
"""Of stages; the log has the rest of the room."""
_MARKS = {
    "": ("●", "bold $text-accent"),
    "ok": ("✓", "$text-success"),
    "skipped": ("-", "$muted"),
    "warning": ("⚠", "$text-warning"),
    "failed": ("✗", "bold $text-error"),
    "cancelled": ("✗", "$text-warning"),
}


@dataclass(slots=True)
class Stage:
    """One stage: when it began (epoch seconds), its outcome ('' while it goes on) and how long it took."""

    name: str
    began: float
    outcome: str = ""
    seconds: float = 0.0

    @property
    def outer(self) -> str:
        """The stage that this one is a step of; '' for none."""
        return self.name.rpartition("/")[0]

    @property
    def label(self) -> str:
        """The name without that of the outer stage."""
        return self.name.rpartition("/")[2]


@dataclass
class RunProgress:
    """The progress of one run, by its events in their order."""

    stages: list[Stage] = field(default_factory=list)
    progress: Progress | None = None
    finished: RunFinished | None = None

    def take(self, event: Event) -> None:
        """Take up one event that is not a log line."""
        match event:
            case StageStarted(at, stage):
                self.stages.append(Stage(clean_line(str(stage)), at))
                self.progress = None
            case StageFinished(_, stage, outcome, seconds, _):
                for begun in reversed(self.stages):
                    if begun.name == stage and not begun.outcome:
                        begun.outcome, begun.seconds = outcome, seconds
                        break
                self.progress = None
            case Progress():
                self.progress = event
            case RunFinished():
                self.finished = event

    def to_show(self) -> list[Stage]:
        """Return the stages, without those inside one that has ended unless they failed: the log has their times."""
        going = {stage.name for stage in self.stages if not stage.outcome}
        failed = {"failed", "cancelled"}
        return [stage for stage in self.stages if not stage.outer or stage.outer in going or stage.outcome in failed]

    def amount(self) -> str:
        """Return the progress of the current stage: `1,204 of 5,283 files`; '' when it reports none."""
        if self.progress is None:
            return ""
        count, total, unit = self.progress.done, self.progress.total, clean_line(str(self.progress.unit))
        return tr("{done:,} of {total:,} {unit}", done=count, total=total, unit=unit) if total else f"{count:,} {unit}"


_MUCH_LONGER = 2.0
_LONG = 60.0


def _usual_seconds(runs: Iterable[RunRecord], like: RunRecord) -> float | None:
    """Return the median seconds of the last runs of this operation that ended well; None when there are none."""
    durations = [
        run.finished - run.started
        for run in runs
        if run.operation == like.operation and run.state == "ok" and run.started and run.id != like.id
    ][:_EARLIER_RUNS]
    return statistics.median(durations) if durations else None


def remaining(run: RunRecord, runs: Iterable[RunRecord]) -> str:
    """Return the time that a run should still take by the last ones, in words; '' when that is not known."""
    usual = _usual_seconds(runs, run)
    if usual is None or not run.started or run.ended:
        return ""
    seconds_left = run.started + usual - time.time()
    if seconds_left < 0:
        # Only what is out of all proportion: a deploy may have assets to build where the last ones had none.
        is_much_longer = -seconds_left > max(usual * _MUCH_LONGER, _LONG)
        return tr("longer than usual ({usual})", usual=duration(usual)) if is_much_longer else ""
    return tr("about {value} left", value=duration(max(1.0, round(seconds_left))))


@dataclass
class Feed:
    """One run with its log file, and its progress by the events that were read from it."""

    record: RunRecord
    file: LogFile
    progress: RunProgress = field(default_factory=RunProgress)

    @classmethod
    def of(cls, store: RunStore, record: RunRecord) -> Feed:
        """Open the log of a run."""
        progress = RunProgress()
        return cls(record, LogFile(store.path(record.id) / "events.jsonl", progress.take), progress)


class StageLine(SteadyText):
    """The stages of a run, with their times, on as many lines as they need; of more than fit the last."""

    _feed: Feed | None = None

    def on_resize(self) -> None:
        """Break the lines for the new width."""
        self.call_after_refresh(lambda: self.show(self._feed))

    def show(self, feed: Feed | None) -> None:
        """Show the stages of a run."""
        self._feed = feed
        parts: list[Content] = []
        now = time.time()
        for stage in feed.progress.to_show() if feed else ():
            going = not stage.outcome and feed is not None and not feed.record.ended
            mark, style = _MARKS.get(stage.outcome, _MARKS["skipped"])
            if not stage.outcome and not going:
                mark, style = _MARKS["cancelled"]
            # Whole seconds while it goes on: more would be drawn four times a second.
            took = whole_seconds(now - stage.began) if going else duration(stage.seconds) if stage.outcome else "?"
            parts.append(Content.assemble((f"{mark} {stage.label}", style), (f" {took}", "$muted")))
            if going and feed is not None and feed.progress.amount():
                parts.append(Content.styled(feed.progress.amount(), "$muted"))
        lines = _broken(parts, self.size.width or self.app.size.width - 4)
        self.update(Content("\n").join(lines[-_MOST_LINES:]))


def _broken(parts: list[Content], width: int) -> list[Content]:
    """Return the parts as lines, as many on each as fit."""
    lines: list[list[Content]] = [[]]
    used = 0
    for part in parts:
        if lines[-1] and used + part.cell_length > width:
            lines.append([])
            used = 0
        lines[-1].append(part)
        used += part.cell_length + 2
    return [Content("  ").join(line) for line in lines]
