"""The work beside the main screen: reads the site, measures and compares versions, starts runs.

Results are posted to the screen as messages. The threads are not workers of the app: leaving it would wait for those,
and a disk or a remote may take minutes to answer.
"""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from textual.dom import DOMNode
from textual.message import Message
from textual.screen import Screen
from textual.timer import Timer

from govma_console.tui import disk_use
from govma_console.tui.disk_use import DiskUse
from govma_console.tui.plans import SwitchPlan, plan_switch
from govma_console.tui.site_state import EMPTY, Snapshot, SnapshotReader
from govma_console.tui.terminal import flush_seconds
from govma_console.tui.watcher import Watcher
from govma_console.version_row import VersionRow
from govma_core.errors import GovmaError
from govma_core.runs.launch import StartedRun, local_requester, start
from govma_core.runs.store import RunRecord, RunStore
from govma_core.settings import Settings
from govma_core.text.language import tr

T = TypeVar("T")
_AGAIN_SECONDS = 0.3
"""From one reading to the next, where another one was asked for meanwhile, or no run in sight holds the lock."""
ORIGIN = "console"
"""Where the records of runs say that they were started from."""


def in_thread(node: DOMNode, work: Callable[[], T], deliver_to: Callable[[T | None, str], None]) -> threading.Thread:
    """Call `work` in a thread, then `deliver_to` in the app if `node` is still on a screen.

    It gets the result and '', or None and the sentence of an error of the core. Any other error is a fault, and ends
    the app.
    """
    # Looked up here: the thread cannot, nor can a node that is no longer on a screen.
    app = node.app

    def deliver(result: T | None, problem: str) -> None:
        if node.is_attached and app.is_running:
            deliver_to(result, problem)

    def run() -> None:
        try:
            result = work()
        except (GovmaError, OSError) as error:
            app.call_later(deliver, None, str(error))
        except Exception as error:
            app.call_later(_raise, error)
        else:
            app.call_later(deliver, result, "")

    thread = threading.Thread(target=run, name="console", daemon=True)
    thread.start()
    return thread


def _raise(error: Exception) -> NoReturn:
    raise error


class SiteChanged(Message):
    """More is known of the site than before: its state, its sizes, or what a switch would change."""


class RunStarted(Message):
    """A run was started, or `problem` says why it was not."""

    def __init__(self, operation: str, problem: str) -> None:
        super().__init__()
        self.operation = operation
        self.problem = problem


class Background:
    """The work beside one main screen. Its methods are called in the app's thread."""

    def __init__(self, settings: Settings, first: Snapshot | None = None) -> None:
        self.settings = settings
        self.runs = RunStore(settings.state_dir)
        self.snapshot = first or EMPTY
        """The state that was read last: at first one from before the screen existed, where that took not too long."""
        self.use: DiskUse | None = None
        self.flush_seconds = flush_seconds(os.environ)
        self.started: StartedRun | None = None
        self.farewell = ""
        """The sentence that is printed once the screen is gone."""
        self._reader = SnapshotReader(settings)
        self._starting: threading.Thread | None = None
        self._watcher: Watcher | None = None
        self._screen: Screen[None]
        """Set by begin()."""
        self._reading = self._read_again = False
        self._next_reading: Timer | None = None
        self._measuring = False
        self._measured_state: tuple[str, ...] = ()
        self._comparisons: dict[tuple[str | None, str], SwitchPlan] = {}
        self._comparing: set[tuple[str | None, str]] = set()

    def _put_together(self, snapshot: Snapshot) -> None:
        """Keep a state with the sizes of its versions, as far as they are known."""
        self.snapshot = snapshot.with_usage(self.use.versions if self.use else {})

    def begin(self, screen: Screen[None]) -> None:
        """Post to this screen from now on, and watch for changes on the disk."""
        self._screen = screen
        settings, state = self.settings, self.settings.state_dir
        self.use = disk_use.last_known(settings)
        self._put_together(self.snapshot)
        if not self.snapshot.at:
            self.refresh()
        notes = (state / name for name in ("pins", "marks", "holds"))
        directories = (settings.versions_dir, state, self.runs.directory, *notes)
        self._watcher = Watcher(directories, self._refresh_from_thread)
        # After the first paint: it imports its library in its thread, and would take the interpreter from us.
        screen.set_timer(0.1, self._watcher.start)

    def end(self) -> None:
        """Stop watching."""
        if self._watcher is not None:
            self._watcher.stop()

    def leave_running(self, run: RunRecord) -> None:
        """Print, when the screen is gone, that a run goes on."""
        self.farewell = tr(
            "{operation} {id} continues. `govma-console` shows it again, `govma-console attach` follows it.",
            operation=run.operation,
            id=run.id,
        )

    def settle(self) -> None:
        """Wait for a run that is being started, and print that it goes on; called when the screen is gone."""
        if self._starting is not None:
            self._starting.join()
            if self.started is not None and not self.started.gone() and not self.farewell:
                self.leave_running(self.started.record)

    def refresh(self) -> None:
        """Read the state of the site, soon: SiteChanged follows. Calls during a reading make one more."""
        if self._reading:
            self._read_again = True
            return
        self._reading = True
        in_thread(self._screen, lambda: (self._reader.read(), disk_use.room(self.settings)), self._take_reading)

    def _refresh_from_thread(self) -> None:
        if self._screen.is_attached:
            self._screen.app.call_later(self.refresh)

    def _take_reading(self, reading: tuple[Snapshot, tuple[int, int] | None] | None, problem: str) -> None:
        self._reading = False
        if self._next_reading is not None:
            self._next_reading.stop()
        if reading is not None:
            snapshot, room = reading
            if room is not None and self.use is not None:
                # The space changes between measurements: a run writes, editors upload.
                self.use = dataclasses.replace(self.use, free=room[0], capacity=room[1])
            self._put_together(snapshot)
            self._screen.post_message(SiteChanged())
        # A run lets go of the lock a moment after its record has ended: no directory changes by that.
        is_lock_alone = self.snapshot.holder is not None and self.snapshot.active is None
        if self._read_again or is_lock_alone:
            self._next_reading = self._screen.set_timer(_AGAIN_SECONDS, self.refresh)
        self._read_again = False

    def forget(self) -> None:
        """Forget sizes and comparisons: the checkout may have more commits by now."""
        self._measured_state = ()
        self._comparisons.clear()

    def measure(self) -> None:
        """Measure the versions unless that was done for this state: SiteChanged follows."""
        snapshot = self.snapshot
        names = tuple(row.name for row in snapshot.versions)
        # A run may have changed sizes without changing a name.
        state = (*names, *(f"{run.id} {run.state}" for run in snapshot.runs[:1]))
        # During a run sizes would be of half a version; at its end the site is read and measured again.
        if self._measuring or state == self._measured_state or snapshot.active is not None:
            return
        self._measuring, self._measured_state = True, state
        in_thread(self._screen, lambda: disk_use.measure(self.settings), self._take_use)

    def _take_use(self, use: DiskUse | None, problem: str) -> None:
        self._measuring = False
        if use is not None:
            self.use = use
        elif self.use is not None:
            # Mostly a directory that this user may not read: the columns keep their last sizes.
            self.use = dataclasses.replace(self.use, problem=tr("Sizes could not be measured: {found}", found=problem))
        self._put_together(self.snapshot)
        self._screen.post_message(SiteChanged())

    def comparison(self, row: VersionRow) -> SwitchPlan | None:
        """Return the comparison of the live version with another one; None until compare() made it."""
        return self._comparisons.get((self.snapshot.pointer.version, row.name))

    def compare(self, row: VersionRow) -> None:
        """Compare the live version with another one: SiteChanged follows."""
        snapshot = self.snapshot
        pair = (snapshot.pointer.version, row.name)
        if pair in self._comparing:
            return
        self._comparing.add(pair)

        def take(plan: SwitchPlan | None, problem: str) -> None:
            self._comparing.discard(pair)
            if plan is not None:
                self._comparisons[pair] = plan
                self._screen.post_message(SiteChanged())

        in_thread(self._screen, lambda: plan_switch(self.settings, snapshot, row), take)

    @property
    def operator(self) -> str:
        """Return the name of the operator at this terminal, as records hold it."""
        return local_requester(ORIGIN).by

    def start(self, operation: str, arguments: dict[str, Any]) -> None:
        """Start a run: RunStarted follows."""

        def work() -> None:
            self.started = start(self.settings, operation, arguments, local_requester(ORIGIN))

        def tell(_: object, problem: str) -> None:
            self._screen.post_message(RunStarted(operation, problem))

        self._starting = in_thread(self._screen, work, tell)
