"""The log of one run: what run it is, its stages, the lines, and where in them we are."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static

from govma_console.tui import formats
from govma_console.tui.logfile import LogFile
from govma_console.tui.stages import RunProgress, remaining, usual_seconds
from govma_console.tui.widgets.log_view import LogView
from govma_console.tui.widgets.stage_line import StageLine
from govma_core.language import counted, tr
from govma_core.runs.record import RunRecord
from govma_core.runs.store import RunStore

_STATES = {
    "ok": "$text-success",
    "running": "bold $text-accent",
    "starting": "bold $text-accent",
    "waiting": "$text-warning",
}


@dataclass
class Feed:
    """One run with its log file and what its events told so far."""

    record: RunRecord
    file: LogFile
    progress: RunProgress = field(default_factory=RunProgress)

    @classmethod
    def of(cls, store: RunStore, record: RunRecord) -> Feed:
        """Open the log of a run."""
        progress = RunProgress()
        return cls(record, LogFile(store.path(record.id) / "events.jsonl", progress.take), progress)


class LogPane(Vertical):
    """Shows a Feed."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.feed: Feed | None = None
        self.usual: float | None = None
        self.unread = False
        """True when this user may not read what runs there are."""
        self._title = self._hint = ""
        self._drawn = 0.0
        self._count = 0

    def compose(self) -> ComposeResult:
        """Make the parts."""
        yield Static("", id="log-title")
        yield StageLine(id="log-stages")
        yield LogView(id="log")
        yield Input(placeholder=tr("search in the log (Enter finds, Esc leaves)"), id="log-search")
        yield Static("", id="log-hint")

    def on_mount(self) -> None:
        """Hide the search until it is asked for."""
        self.query_one("#log-search").display = False
        self.bring_up_to_date()

    @property
    def view(self) -> LogView:
        """Return the viewer."""
        return self.query_one("#log", LogView)

    def show(self, feed: Feed | None, runs: Iterable[RunRecord]) -> None:
        """Show the log of another run."""
        if self.feed is not None and self.feed is not feed:
            self.feed.file.close()
        self.feed, self._count = feed, 0
        self.usual = usual_seconds(runs, feed.record) if feed else None
        self.view.show(feed.file if feed else None)
        self.bring_up_to_date()

    def take_up(self, draw_seconds: float) -> bool:
        """Take up new lines; give whether there are more to take up at once.

        While there are, what is shown is drawn every `draw_seconds` only: reading is quick, the line may be slow.
        """
        if self.feed is None:
            return False
        more = self.feed.file.update()
        now = time.monotonic()
        if not more or now - self._drawn >= draw_seconds:
            self._drawn = now
            if self.feed.file.count != self._count:
                self._count = self.feed.file.count
                self.view.grown()
            self.bring_up_to_date()
        return more

    def bring_up_to_date(self) -> None:
        """Draw title, stages and hint again where they changed."""
        feed = self.feed
        title = self._title_line(feed)
        if title.markup != self._title:
            self._title = title.markup
            self.query_one("#log-title", Static).update(title)
        self.query_one(StageLine).show(feed.record if feed else None, feed.progress if feed else RunProgress())
        hint = self._hint_line(feed)
        if hint.markup != self._hint:
            self._hint = hint.markup
            self.query_one("#log-hint", Static).update(hint)

    def _title_line(self, feed: Feed | None) -> Content:
        if feed is None:
            if self.unread:
                return Content.assemble((tr("The runs and their logs are not readable by this user."), "$muted"))
            return Content.assemble((tr("No run yet. "), "bold"), (tr("Its log will be shown here."), "$muted"))
        run = feed.record
        left = remaining(run, self.usual, time.time()) if feed.progress.finished is None else ""
        return Content.assemble(
            (f"{run.operation} ", "bold"),
            (tr(run.state), _STATES.get(run.state, "bold $text-error")),
            (f"  {left}" if left else "", "bold"),
            (
                tr(
                    "  {id} by {by} ({origin})  {at}",
                    id=run.id,
                    by=run.by,
                    origin=run.origin,
                    at=formats.moment(run.created),
                ),
                "$muted",
            ),
        )

    def _hint_line(self, feed: Feed | None) -> Content:
        if feed is None:
            return Content("")
        if feed.file.problem:
            return Content.assemble((feed.file.problem, "$text-warning"))
        view = self.view
        parts: list[tuple[str, str]] = []
        if view.following:
            parts.append(
                (tr("following"), "$text-success") if not feed.record.ended else (tr("end of the log"), "$muted")
            )
        else:
            parts.append((tr("paused at line {cursor:,}", cursor=view.cursor + 1), "bold $text-warning"))
            if view.behind and not feed.record.ended:
                parts.append(
                    (tr("  +{count}: G follows", count=counted(view.behind, "line", "lines")), "bold $text-warning")
                )
        parts.append((f"  {counted(feed.file.count, 'line', 'lines')}", "$muted"))
        if view.mark is not None:
            first, last = view.chosen
            parts.append((tr("  {count} selected: y copies", count=counted(last - first + 1, "line", "lines")), "bold"))
        if view.pattern is not None:
            parts.append((f"  /{self.query_one('#log-search', Input).value}", "$text-accent"))
        return Content.assemble(*parts)

    def on_log_view_changed(self) -> None:
        """Say where we are."""
        self.bring_up_to_date()

    def text(self, first: int, last: int) -> Iterator[str]:
        """Return lines of the log shown now as they are copied and saved, whatever is shown when they are taken."""
        return _written(self.feed.file, first, last, timestamps=self.view.timestamps) if self.feed else iter(())


def _written(file: LogFile, first: int, last: int, *, timestamps: bool) -> Iterator[str]:
    for batch in file.scan(first):
        for number, line in batch:
            if number > last:
                return
            yield line.written(timestamps=timestamps)
