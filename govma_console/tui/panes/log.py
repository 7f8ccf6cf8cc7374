"""The log of one run: what run it is, its stages, the lines, and where in them we are."""

from __future__ import annotations

import os
import re
import statistics
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static

from govma_console import formats
from govma_console.formats import duration
from govma_console.tui.panes.log_file import LogFile
from govma_console.tui.panes.log_view import LogView
from govma_core.errors import RefusedError
from govma_core.events import Event, Progress, RunFinished, StageFinished, StageStarted
from govma_core.runs.store import RunRecord, RunStore
from govma_core.text.clean import clean_line
from govma_core.text.language import counted, tr

if TYPE_CHECKING:
    from govma_console.tui.main_screen import MainScreen


_MOST_COPIED = 100_000
"""Bytes: terminals take a clipboard of some ten thousand, few take more than a million."""


class LogHandling:
    """The methods of the main screen that have to do with logs."""

    _finding = False
    _wished = 0

    @property
    def _screen(self) -> MainScreen:
        """Return what these methods are part of; types cannot say that of a class that stands below it."""
        return cast("MainScreen", self)

    def _tell(self, done: str, error: str) -> None:
        """Say what was done, or why not."""
        self._screen.notify(error or done, severity="error" if error else "information", markup=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the filter; find the first match of a search."""
        event.stop()
        if event.input.id == "filter":
            event.input.display = bool(event.value)
            self._screen.set_focus(self._screen.table)
        elif event.input.id == "log-search":
            self._begin_search(event.value)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while it is typed."""
        event.stop()
        if event.input.id == "filter":
            self._screen.table.filter(event.value)
            self._screen.refresh_actions()

    def key_escape(self) -> None:
        """Leave the filter or the search; end a selection; else go back to the table."""
        screen, focused = self._screen, self._screen.focused
        view = screen.log_pane.view
        if focused is not None and focused.id == "filter":
            cast("Input", focused).value = ""
            focused.display = False
            screen.set_focus(screen.table)
        elif focused is not None and focused.id == "log-search":
            cast("Input", focused).value = ""
            self._begin_search("")
        elif view.mark is not None:
            view.select()
        elif view.pattern is not None and focused is view:
            self._begin_search("")
        elif screen.table.wanted:
            field = screen.query_one("#filter", Input)
            field.value = ""
            field.display = False
        else:
            screen.remove_class("zoomed")
            screen.go_to_pane("versions")

    def _begin_search(self, wanted: str) -> None:
        pane = self._screen.log_pane
        field = pane.query_one("#log-search", Input)
        field.display = False
        # As in other tools: small letters find both, a capital only itself.
        flags = re.IGNORECASE if wanted == wanted.lower() else 0
        pane.view.pattern = re.compile(re.escape(wanted), flags) if wanted else None
        self._screen.set_focus(pane.view)
        pane.view.refresh()
        if wanted:
            self._find(1, pane.view.last if pane.view.following else pane.view.cursor, wrapped=True)
        self._screen.refresh_actions()
        pane.bring_up_to_date()

    def _find(self, step: int, start: int, *, wrapped: bool) -> None:
        """Look for the pattern from a line on, then (wrapped) from the other end, in a thread."""
        pane = self._screen.log_pane
        feed, pattern = pane.feed, pane.view.pattern
        if feed is None or pattern is None:
            return
        pattern_now: re.Pattern[str] = pattern
        file = feed.file
        starts = [start, 0 if step > 0 else file.count - 1] if wrapped else [start]

        def work() -> int | None:
            for first in starts:
                for batch in file.scan(first, step=step):
                    for number, line in batch:
                        if pattern_now.search(line.text):
                            return number
            return None

        self._finding, self._wished = True, 0

        def told(found: int | None, error: str) -> None:
            self._finding = False
            if pane.view.pattern is not pattern_now or pane.feed is not feed:
                return
            if found is None:
                self._screen.notify(error or tr("Not found."), severity="warning", markup=False)
                return
            pane.view.go_to(found)
            if self._wished:
                wish = 1 if self._wished > 0 else -1
                left = self._wished - wish
                self._find_from(wish)
                self._wished = left

        self._screen.controller.in_thread(work, told)

    def _find_from(self, step: int) -> None:
        """Go to the next match from the cursor; while one is being looked for, the wish is kept for afterwards."""
        view = self._screen.log_pane.view
        if self._finding:
            self._wished += step
        else:
            self._find(step, (view.last if view.following else view.cursor) + step, wrapped=True)

    def do_search(self) -> None:
        """Ask what to look for."""
        field = self._screen.log_pane.query_one("#log-search", Input)
        field.display = True
        self._screen.set_focus(field)

    def do_next(self) -> None:
        """Go to the next match."""
        self._find_from(1)

    def do_previous(self) -> None:
        """Go to the match before."""
        self._find_from(-1)

    def do_follow(self) -> None:
        """Follow, or pause."""
        view = self._screen.log_pane.view
        if view.following:
            view.pause()
        else:
            view.action_follow()

    def do_wrap(self) -> None:
        """Break long lines, or not."""
        view = self._screen.log_pane.view
        view.set_wrap(not view.wrap)

    def do_timestamps(self) -> None:
        """Show the time of each line, or not."""
        view = self._screen.log_pane.view
        view.timestamps = not view.timestamps
        view.grown()

    def do_select(self) -> None:
        """Begin or end a selection."""
        self._screen.log_pane.view.select()

    def do_copy(self) -> None:
        """Copy the selected lines to the terminal's clipboard."""
        pane = self._screen.log_pane
        first, last = pane.view.chosen
        lines = pane.text(first, last)

        def told(found: tuple[str, int] | None, error: str) -> None:
            if found is None:
                self._screen.notify(error, severity="error", markup=False)
                return
            text, count = found
            self._screen.app.copy_to_clipboard(text)
            cut = tr(" (the first ones; save the log for more)") if count < last - first + 1 else ""
            sent = tr("{count} sent to the terminal's clipboard{cut}.", count=counted(count, "line", "lines"), cut=cut)
            self._screen.notify(sent, markup=False)
            if pane.view.mark is not None:
                pane.view.select()

        self._screen.controller.in_thread(lambda: _for_clipboard(lines), told)

    def do_save(self) -> None:
        """Ask for a file name, and write the log there."""
        from govma_console.tui.dialogs.base import AskDialog

        pane = self._screen.log_pane
        feed = pane.feed
        if feed is None:
            return
        default = f"{_here()}/{feed.record.operation}-{feed.record.id}.log"
        lines, text = feed.file.count, pane.text(0, feed.file.count - 1)

        def answered(result: dict[str, str] | None) -> None:
            if result is not None:
                self._screen.controller.in_thread(lambda: _save(result["text"], text), told)

        def told(found: str | None, error: str) -> None:
            self._tell(found or "", error)

        what = tr(
            "Writes {count} of {operation} {id} to a new file.",
            count=counted(lines, "line", "lines"),
            operation=feed.record.operation,
            id=feed.record.id,
        )
        self._screen.app.push_screen(AskDialog(tr("Save the log"), what, tr("Save"), default), answered)

    def do_run_log(self) -> None:
        """Show the log of the run that made the selected version."""
        row = self._screen.situation.selected
        record = self._screen.snapshot.run(row.manifest.run if row and row.manifest else None)
        self._choose(record)
        self._screen.go_to_pane("log")

    def do_runs(self) -> None:
        """Let somebody choose a run."""
        from govma_console.tui.dialogs.runs import RunsScreen

        def answered(run_id: str | None) -> None:
            if run_id is not None:
                self._choose(self._screen.snapshot.run(run_id))
                self._screen.go_to_pane("log")

        shown = self._screen.log_pane.feed
        self._screen.app.push_screen(RunsScreen(self._screen.snapshot.runs, shown.record.id if shown else ""), answered)

    def do_older(self) -> None:
        """Show the log of the run before."""
        self._step(1)

    def do_newer(self) -> None:
        """Show the log of the next run."""
        self._step(-1)

    def _step(self, step: int) -> None:
        runs = self._screen.snapshot.runs
        shown = self._screen.log_pane.feed
        at = next((number for number, run in enumerate(runs) if shown and run.id == shown.record.id), 0)
        self._choose(runs[min(max(0, at + step), len(runs) - 1)])
        self._screen.go_to_pane("log", only_narrow=True)

    def _choose(self, record: RunRecord | None) -> None:
        if record is not None:
            latest = self._screen.snapshot.active or self._screen.snapshot.runs[0]
            self._screen.chosen_run = None if record.id == latest.id else record.id
            self._screen.show_run(record)


def _here() -> str:
    """Return the directory we were started in; the home when that was removed meanwhile."""
    try:
        return os.getcwd()
    except OSError:
        return "~"


def _save(name: str, lines: Iterable[str]) -> str:
    try:
        path = Path(name).expanduser()
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        written = 0
        with os.fdopen(fd, "w", encoding="utf-8", errors="replace") as file:
            for line in lines:
                file.write(line + "\n")
                written += 1
    except FileExistsError:
        raise RefusedError(
            tr("{name} is there already; nothing was written. Choose another name.", name=name)
        ) from None
    except OSError as error:
        raise RefusedError(tr("{name} cannot be written: {strerror}.", name=name, strerror=error.strerror)) from None
    except (RuntimeError, ValueError):
        raise RefusedError(tr("{name!r} is not the name of a file.", name=name)) from None
    return tr("{count} written to {path}.", count=counted(written, "line", "lines"), path=path)


def _for_clipboard(lines: Iterable[str]) -> tuple[str, int]:
    """Return as many of the lines as a terminal may take, and how many those are."""
    taken: list[str] = []
    size = 0
    for line in lines:
        size += len(line.encode("utf-8", "replace")) + 1
        if taken and size > _MOST_COPIED:
            break
        taken.append(line.encode("utf-8", "replace").decode())
    return "\n".join(taken), len(taken)


_EARLIER_RUNS = 5


@dataclass(slots=True)
class Stage:
    """One stage: when it began (epoch seconds), its outcome ('' while it goes on) and how long it took."""

    name: str
    began: float
    outcome: str = ""
    seconds: float = 0.0


@dataclass
class RunProgress:
    """What the events of one run tell about its progress; fed in order."""

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
                for found in reversed(self.stages):
                    if found.name == stage and not found.outcome:
                        found.outcome, found.seconds = outcome, seconds
                        break
                self.progress = None
            case Progress():
                self.progress = event
            case RunFinished():
                self.finished = event

    def amount(self) -> str:
        """Return how far the current stage is: `1,204 of 5,283 files`; '' when it does not say."""
        if self.progress is None:
            return ""
        done, total, unit = self.progress.done, self.progress.total, clean_line(str(self.progress.unit))
        return tr("{done:,} of {total:,} {unit}", done=done, total=total, unit=unit) if total else f"{done:,} {unit}"


_MUCH_LONGER = 2.0
_LONG = 60.0


def usual_seconds(runs: Iterable[RunRecord], like: RunRecord) -> float | None:
    """Return how long a run like this one takes, by the last ones that ended well; None while that is not known."""
    taken = [
        run.finished - run.started
        for run in runs
        if run.operation == like.operation and run.state == "ok" and run.started and run.id != like.id
    ][:_EARLIER_RUNS]
    return statistics.median(taken) if taken else None


def remaining(run: RunRecord, usual: float | None, now: float) -> str:
    """Return when a run should end, in words; '' when nothing is known."""
    if usual is None or not run.started or run.ended:
        return ""
    left = run.started + usual - now
    if left < 0:
        # Only what is out of all proportion: a deploy may have assets to build where the last ones had none.
        return (
            tr("longer than usual ({usual})", usual=duration(usual)) if -left > max(usual * _MUCH_LONGER, _LONG) else ""
        )
    return tr("about {value} left", value=duration(max(1.0, round(left))))


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
