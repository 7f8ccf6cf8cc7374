"""The pane of the log: follows the runs of the site, and shows title, stages and lines of one."""

from __future__ import annotations

import time
from collections.abc import Iterator

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Input

from govma_console import formats
from govma_console.tui.background import in_thread
from govma_console.tui.dialogs.base import AskDialog
from govma_console.tui.panes import log_export
from govma_console.tui.panes.log_view import LogView
from govma_console.tui.panes.run_progress import Feed, StageLine, remaining
from govma_console.tui.panes.steady_text import SteadyText
from govma_console.tui.site_state import EMPTY, Snapshot
from govma_core.runs.store import RunRecord, RunStore
from govma_core.text.language import counted, tr

_CATCH_UP_SECONDS = 0.03
_STATES = {
    "ok": "$text-success",
    "unchanged": "$text-success",
    "running": "bold $text-accent",
    "starting": "bold $text-accent",
    "waiting": "$text-warning",
}


class LogPane(Vertical):
    """Follows the runs of a site, and shows the log of one."""

    class RunChanged(Message):
        """The run that goes on has begun its first stage, or has ended: the site has to be read again."""

    class Progressed(Message):
        """The run that goes on was looked at again."""

    def __init__(self, runs: RunStore, flush_seconds: float, *, id: str) -> None:
        super().__init__(id=id)
        self.feed: Feed | None = None
        """The run whose log is shown."""
        self.active: Feed | None = None
        """The run that is going on, whether its log is shown or not."""
        self.chosen_run: str | None = None
        """The run whose log the operator chose; None: the latest."""
        self._runs = runs
        self._flush_seconds = flush_seconds
        self._snapshot: Snapshot = EMPTY
        self._draw_time = 0.0
        self._count = 0
        self._ticking: Timer | None = None

    def compose(self) -> ComposeResult:
        """Make title, stages, lines, search field and hint."""
        yield SteadyText(id="log-title")
        yield StageLine(id="log-stages")
        yield LogView(id="log")
        yield Input(placeholder=tr("search in the log (Enter finds, Esc leaves)"), id="log-search")
        yield SteadyText(id="log-hint")

    def on_mount(self) -> None:
        """Hide the search field until it is used."""
        self.query_one("#log-search").display = False
        self.bring_up_to_date()

    @property
    def view(self) -> LogView:
        """Return the viewer."""
        return self.query_one("#log", LogView)

    def show(self, feed: Feed | None) -> None:
        """Show the log of another run."""
        self.feed, self._count = feed, 0
        self.view.show(feed.file if feed else None)
        self.bring_up_to_date()

    def _read_new(self) -> bool:
        """Read new lines; return whether there are more to read at once.

        While there are, the pane is drawn from time to time only: reading is fast, the connection may be slow.
        """
        if self.feed is None:
            return False
        more = self.feed.file.update()
        now = time.monotonic()
        if not more or now - self._draw_time >= self._flush_seconds:
            self._draw_time = now
            if self.feed.file.count != self._count:
                self._count = self.feed.file.count
                self.view.grown()
            self.bring_up_to_date()
        return more

    def bring_up_to_date(self) -> None:
        """Show title, stages and hint as they are now."""
        feed = self.feed
        self.query_one("#log-title", SteadyText).update(self._title_line(feed))
        self.query_one(StageLine).show(feed)
        self.query_one("#log-hint", SteadyText).update(self._hint_line(feed))

    def _title_line(self, feed: Feed | None) -> Content:
        if feed is None:
            if self._snapshot.unread:
                return Content.styled(tr("The runs and their logs are not readable by this user."), "$muted")
            return Content.assemble((tr("No run yet. "), "bold"), (tr("Its log will be shown here."), "$muted"))
        run = feed.record
        time_left = remaining(run, self._snapshot.runs) if feed.progress.finished is None else ""
        at = formats.moment(run.created)
        return Content.assemble(
            (f"{run.operation} ", "bold"),
            (tr(run.state), _STATES.get(run.state, "bold $text-error")),
            (f"  {time_left}" if time_left else "", "bold"),
            (tr("  {id} by {by} ({origin})  {at}", id=run.id, by=run.by, origin=run.origin, at=at), "$muted"),
        )

    def _hint_line(self, feed: Feed | None) -> Content:
        if feed is None:
            return Content("")
        if feed.file.problem:
            return Content.styled(feed.file.problem, "$text-warning")
        view = self.view
        parts: list[tuple[str, str]] = []
        if not view.following:
            parts.append((tr("paused at line {cursor:,}", cursor=view.cursor + 1), "bold $text-warning"))
            if view.behind and not feed.record.ended:
                count = counted(view.behind, "line", "lines")
                parts.append((tr("  +{count}: G follows", count=count), "bold $text-warning"))
        elif feed.record.ended:
            parts.append((tr("end of the log"), "$muted"))
        else:
            parts.append((tr("following"), "$text-success"))
        parts.append((f"  {counted(feed.file.count, 'line', 'lines')}", "$muted"))
        if view.mark is not None:
            first, last = view.chosen
            parts.append((tr("  {count} selected: y copies", count=counted(last - first + 1, "line", "lines")), "bold"))
        if view.pattern is not None:
            parts.append((f"  /{self.query_one('#log-search', Input).value}", "$text-accent"))
        return Content.assemble(*parts)

    def on_log_view_changed(self) -> None:
        """Show the new position in the hint."""
        self.bring_up_to_date()

    def text(self, first: int, last: int) -> Iterator[str]:
        """Return lines of the log shown now as they are copied and saved, whatever is shown when they are read."""
        if self.feed is None:
            return iter(())
        return log_export.text_lines(self.feed.file, first, last, timestamps=self.view.timestamps)

    # The runs of the site ---------------------------------------------------------------------------------------

    def follow(self, snapshot: Snapshot) -> None:
        """Learn which runs there are; show the log of the chosen one, of the one that goes on, or of the latest."""
        self._snapshot = snapshot
        active = snapshot.active
        if active is None or self.active is None or self.active.record.id != active.id:
            self.active = self._begin_to_follow(active) if active else None
        for feed in (self.active, self.feed):
            record = snapshot.run(feed.record.id) if feed else None
            if feed and record:
                feed.record = record
        self._show_run(snapshot.run(self.chosen_run) or active or (snapshot.runs[0] if snapshot.runs else None))
        self.tick()

    def _begin_to_follow(self, run: RunRecord) -> Feed:
        # A run that begins is shown at once, except to an operator who is reading another log.
        is_reading = (self.view.has_focus and not self.view.following) or self.query_one("#log-search").has_focus
        self.chosen_run = self.feed.record.id if is_reading and self.feed else None
        return self.feed if self.feed and self.feed.record.id == run.id else Feed.of(self._runs, run)

    def _show_run(self, record: RunRecord | None) -> None:
        if record is None:
            self.show(None)
        elif self.feed is None or self.feed.record.id != record.id:
            is_active = self.active is not None and self.active.record.id == record.id
            self.show(self.active if is_active else Feed.of(self._runs, record))
            self.tick()
        self.post_message(LogView.Changed())

    def choose(self, record: RunRecord | None) -> None:
        """Show the log of a run until another one is chosen; after the latest run, also until the next one begins."""
        if record is not None:
            latest = self._snapshot.active or self._snapshot.runs[0]
            self.chosen_run = None if record.id == latest.id else record.id
            self._show_run(record)

    def step(self, step: int) -> None:
        """Show the log of an earlier run (1), or of a later one (-1)."""
        runs = self._snapshot.runs
        at = next((number for number, run in enumerate(runs) if self.feed and run.id == self.feed.record.id), 0)
        self.choose(runs[min(max(0, at + step), len(runs) - 1)])

    def tick(self) -> None:
        """Read what the runs wrote, and plan the next reading: soon while there is more, none while nothing runs."""
        more = self._read_new()
        active = self.active
        if active is not None:
            if active is not self.feed:
                more = active.file.update() or more
            process_gone = bool(active.record.pid) and not active.record.process.alive()
            has_begun = active.record.state == "starting" and active.progress.stages
            if active.progress.finished is not None or process_gone or has_begun:
                self.post_message(self.RunChanged())
            self.post_message(self.Progressed())
        if self._ticking is not None:
            self._ticking.stop()
            self._ticking = None
        if more or active is not None:
            self._ticking = self.set_timer(_CATCH_UP_SECONDS if more else self._flush_seconds, self.tick)

    @property
    def what_runs(self) -> str:
        """Return the run that goes on in one line: what, by whom, which stage, how long; '' when there is none."""
        feed, snapshot = self.active, self._snapshot
        if feed is None:
            holder = snapshot.holder
            return tr("{operation} by {by}", operation=holder.operation, by=holder.by) if holder else ""
        run, stages = feed.record, feed.progress.stages
        stage = f", {stages[-1].name}" if stages else ""
        passed = formats.whole_seconds(time.time() - run.created)
        behind = tr(" (+{waiting} waiting)", waiting=snapshot.waiting) if snapshot.waiting else ""
        who = tr("{operation} by {by}", operation=run.operation, by=run.by)
        return f"{who}{stage}, {passed}{behind}"

    # Actions ----------------------------------------------------------------------------------------------------

    def action_search(self) -> None:
        """Ask what to look for."""
        field = self.query_one("#log-search", Input)
        field.display = True
        field.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Search when the text is complete, and not while it is typed."""
        event.stop()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Go to the first match of a search."""
        event.stop()
        self._search(event.value)

    def _search(self, text: str) -> None:
        self.query_one("#log-search", Input).display = False
        self.view.focus()
        self.view.search(text)
        self.bring_up_to_date()

    def leave(self) -> bool:
        """Leave the search, else end a selection, else forget the matches; False when there is none of these."""
        field = self.query_one("#log-search", Input)
        if field.has_focus:
            field.value = ""
            self._search("")
        elif self.view.mark is not None:
            self.view.select()
        elif self.view.pattern is not None and self.view.has_focus:
            self._search("")
        else:
            return False
        return True

    def action_next(self) -> None:
        """Go to the next match."""
        self.view.find(1)

    def action_previous(self) -> None:
        """Go to the match before."""
        self.view.find(-1)

    def action_follow(self) -> None:
        """Follow, or pause."""
        if self.view.following:
            self.view.pause()
        else:
            self.view.action_follow()

    def action_wrap(self) -> None:
        """Break long lines, or not."""
        self.view.set_wrap(not self.view.wrap)

    def action_timestamps(self) -> None:
        """Show the time of each line, or not."""
        self.view.timestamps = not self.view.timestamps
        self.view.grown()

    def action_select(self) -> None:
        """Begin or end a selection."""
        self.view.select()

    def action_copy(self) -> None:
        """Copy the selected lines to the terminal's clipboard."""
        first, last = self.view.chosen
        lines = self.text(first, last)

        def copy(result: tuple[str, int] | None, problem: str) -> None:
            if result is None:
                self.notify(problem, severity="error", markup=False)
                return
            text, count = result
            self.app.copy_to_clipboard(text)
            cut = tr(" (the first ones; save the log for more)") if count < last - first + 1 else ""
            sent = tr("{count} sent to the terminal's clipboard{cut}.", count=counted(count, "line", "lines"), cut=cut)
            self.notify(sent, markup=False)
            if self.view.mark is not None:
                self.view.select()

        in_thread(self, lambda: log_export.for_clipboard(lines), copy)

    def action_save(self) -> None:
        """Ask for a file name, and write the log there."""
        feed = self.feed
        if feed is None:
            return
        default = f"{log_export.default_directory()}/{feed.record.operation}-{feed.record.id}.log"
        lines, text = feed.file.count, self.text(0, feed.file.count - 1)

        def save(answer: dict[str, str] | None) -> None:
            if answer and answer["text"]:
                in_thread(self, lambda: log_export.save(answer["text"], text), tell)

        def tell(sentence: str | None, problem: str) -> None:
            self.notify(problem or sentence or "", severity="error" if problem else "information", markup=False)

        what = tr(
            "Writes {count} of {operation} {id} to a new file.",
            count=counted(lines, "line", "lines"),
            operation=feed.record.operation,
            id=feed.record.id,
        )
        self.app.push_screen(AskDialog(tr("Save the log"), what, verb=tr("Save"), value=default), save)
