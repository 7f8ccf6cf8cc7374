"""Between the screen and the disk: reads in threads, watches, starts runs. The screen is only ever told results."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from govma_console.tui import plans
from govma_console.tui.plans import DiskUse, Sizes, SwitchPlan
from govma_console.tui.site_state import Snapshot, SnapshotReader, VersionRow, Watcher
from govma_console.tui.terminal import flush_seconds
from govma_core.errors import GovmaError
from govma_core.runs.launch import StartedRun, local_requester, start
from govma_core.runs.store import RunRecord, RunStore
from govma_core.settings import Settings
from govma_core.text.language import tr

if TYPE_CHECKING:
    from govma_console.tui.main_screen import MainScreen


class Controller:
    """What the main screen works with. Methods are called in the app's thread unless they say otherwise."""

    def __init__(self, settings: Settings, first: Snapshot | None = None) -> None:
        self.settings = settings
        self.runs = RunStore(settings.state_dir)
        self.reader = SnapshotReader(settings)
        self.use: DiskUse | None = None
        self.flush_seconds = flush_seconds(os.environ)
        self.started: StartedRun | None = None
        self._starting: threading.Thread | None = None
        self.farewell = ""
        """What is said once the screen is gone."""
        self._first = first
        self._watcher: Watcher | None = None
        self._screen: MainScreen
        """There once begin() was called."""
        self._reading = False
        self._again = False
        self._measuring = False
        self._measured: tuple[str, ...] = ()
        self._comparisons: dict[tuple[str | None, str], SwitchPlan] = {}
        self._comparing: set[tuple[str | None, str]] = set()

    @property
    def sizes(self) -> Mapping[str, Sizes]:
        """Return what is known of the versions' sizes."""
        return self.use.versions if self.use else {}

    def begin(self, screen: MainScreen) -> None:
        """Show the first state, then watch for others."""
        self._screen = screen
        settings = self.settings
        self.use = plans.last_known(settings)
        if self._first is not None:
            screen.take_snapshot(self._first)
            self._measure()
        else:
            self.refresh()
        state = settings.state_dir
        places = (settings.versions_dir, state, self.runs.directory, state / "pins", state / "marks", state / "holds")
        self._watcher = Watcher(places, lambda: self._in_app(self.refresh))
        # After the first paint: it imports its library in its thread, and would take the interpreter from us.
        screen.set_timer(0.1, self._watcher.start)

    def leave_running(self, run: RunRecord) -> None:
        """Say, when the screen is gone, that a run goes on."""
        self.farewell = tr(
            "{operation} {id} continues. `govma-console` shows it again, `govma-console attach` follows it.",
            operation=run.operation,
            id=run.id,
        )

    def settle(self) -> None:
        """Wait for a run that is just being started, and say that it goes on; called when the screen is gone."""
        if self._starting is not None:
            self._starting.join()
            if self.started is not None and not self.started.gone() and not self.farewell:
                self.leave_running(self.started.record)

    def end(self) -> None:
        """Stop watching."""
        if self._watcher is not None:
            self._watcher.stop()

    def refresh(self) -> None:
        """Read the state anew, soon; calls while it is being read make one more reading."""
        if self._reading:
            self._again = True
            return
        self._reading = True
        self._thread(self._read, "read")

    def _read(self) -> None:
        snapshot = self.reader.read()
        room = plans.room(self.settings)
        self._in_app(lambda: self._take(snapshot, room))

    def _take(self, snapshot: Snapshot, room: tuple[int, int] | None) -> None:
        self._reading = False
        if room is not None and self.use is not None:
            # The space changes while nothing is measured: a run writes, people upload.
            self.use = dataclasses.replace(self.use, free=room[0], capacity=room[1])
        self._screen.take_snapshot(snapshot)
        self._measure()
        if self._again:
            self._again = False
            self._screen.set_timer(0.2, self.refresh)

    def measure(self) -> None:
        """Measure the disk again, and compare versions anew: the checkout may know more commits by now."""
        self._measured = ()
        self._comparisons.clear()
        self._measure()

    def _measure(self) -> None:
        snapshot = self._screen.snapshot
        names = tuple(row.name for row in snapshot.versions)
        # A run may have changed sizes and no name.
        key = (*names, *(f"{run.id} {run.state}" for run in snapshot.runs[:1]))
        # While a run writes, sizes would be of something half done; its end brings us here again.
        if self._measuring or key == self._measured or snapshot.active is not None:
            return
        self._measuring, self._measured = True, key
        current = snapshot.pointer.version

        def work() -> None:
            try:
                use = plans.measured(self.settings, list(names), current)
            except (GovmaError, OSError) as error:
                # Not permitted to read, most often: the columns stay as they are.
                sentence = str(error)
                self._in_app(lambda: self._take_use(sentence))
            else:
                self._in_app(lambda: self._take_use(use))

        self._thread(work, "measure")

    def _take_use(self, found: DiskUse | str) -> None:
        self._measuring = False
        if isinstance(found, DiskUse):
            self.use = found
        elif self.use is not None:
            self.use = dataclasses.replace(self.use, problem=tr("Sizes could not be measured: {found}", found=found))
        self._screen.table.show(self._screen.snapshot.versions, self.sizes)
        self._screen.bring_up_to_date()
        self._screen.show_detail()
        # What changed while it was being measured.
        self._measure()

    def comparison(self, snapshot: Snapshot, row: VersionRow | None) -> SwitchPlan | None:
        """Return what lies between the live version and another; None while it is being found out."""
        if row is None or row.current:
            return None
        key = (snapshot.pointer.version, row.name)
        if key not in self._comparisons and key not in self._comparing:
            self._comparing.add(key)
            # Only when the cursor rests: holding a key down must not start a hundred gits.
            self._screen.set_timer(0.15, lambda: self._compare(key, snapshot, row))
        return self._comparisons.get(key)

    def _compare(self, key: tuple[str | None, str], snapshot: Snapshot, row: VersionRow) -> None:
        if self._screen.table.cursor != row.name:
            self._comparing.discard(key)
            return

        def work() -> None:
            plan = plans.plan_switch(self.settings, snapshot, row)
            self._in_app(lambda: self._take_comparison(key, plan))

        self._thread(work, "compare")

    def _take_comparison(self, key: tuple[str | None, str], plan: SwitchPlan) -> None:
        self._comparing.discard(key)
        self._comparisons[key] = plan
        self._screen.show_detail()

    def start(self, operation: str, arguments: dict[str, Any], told: Callable[[str], None]) -> None:
        """Start a run; `told` is called in the app with an error's sentence, or with '' once it is started."""

        def work() -> None:
            try:
                self.started = start(self.settings, operation, arguments, local_requester(plans.ORIGIN))
            except (GovmaError, OSError) as error:
                sentence = str(error)
                self._in_app(lambda: told(sentence))
            else:
                self._in_app(lambda: told(""))

        self._starting = self._thread(work, "start")

    def in_thread(self, work: Callable[[], Any], told: Callable[[Any, str], None]) -> None:
        """Do something short in a thread; `told` gets what it gave and '', or None and an error's sentence."""

        def run() -> None:
            try:
                found = work()
            except (GovmaError, OSError) as error:
                sentence = str(error)
                self._in_app(lambda: told(None, sentence))
            else:
                self._in_app(lambda: told(found, ""))

        self._thread(run, "work")

    def _in_app(self, call: Callable[[], None]) -> None:
        screen = self._screen

        def unless_gone() -> None:
            # The app may have been left meanwhile: then the parts of the screen are taken away one after the other.
            if screen.is_attached and screen.app.is_running and screen.query("#versions"):
                call()

        if screen.is_attached:
            screen.app.call_later(unless_gone)

    def _thread(self, work: Callable[[], None], name: str) -> threading.Thread:
        def guarded() -> None:
            try:
                work()
            except Exception as error:
                fault = error
                screen = self._screen
                if screen.is_attached:
                    screen.app.call_later(lambda: screen.app._handle_exception(fault))

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        thread.start()
        return thread
