"""What the actions on logs and runs do."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from textual.widgets import Input

from govma_core.errors import RefusedError
from govma_core.language import counted, tr
from govma_core.runs.record import RunRecord

if TYPE_CHECKING:
    from govma_console.tui.screens.main import MainScreen

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
        from govma_console.tui.screens.ask import AskDialog

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
        from govma_console.tui.screens.runs import RunsScreen

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
