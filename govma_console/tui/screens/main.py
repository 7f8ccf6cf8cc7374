"""The main screen: header, table, detail, plot, log, footer; and how they are kept up to date."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import Screen
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Input

from govma_console.tui import actions, formats
from govma_console.tui.action import Place
from govma_console.tui.availability import Situation
from govma_console.tui.controller import Controller
from govma_console.tui.screens.handling import Handling
from govma_console.tui.snapshot import EMPTY, Snapshot
from govma_console.tui.widgets.action_bar import ActionBar
from govma_console.tui.widgets.detail import Detail
from govma_console.tui.widgets.log_pane import Feed, LogPane
from govma_console.tui.widgets.log_view import LogView
from govma_console.tui.widgets.plot import Plot
from govma_console.tui.widgets.site_header import SiteHeader
from govma_console.tui.widgets.version_table import VersionTable
from govma_core.language import decimal, tr
from govma_core.runs.record import RunRecord

_CATCH_UP = 0.03
_WIDE = 120
_AGES = 20.0


class MainScreen(Handling, Screen[None]):
    """Everything at a glance on a wide terminal, one pane at a time on a narrow one."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (_WIDE, "-wide")]  # noqa: RUF012 - as its base class declares it
    BINDINGS: ClassVar[list[BindingType]] = [Binding(key, f"press('{key}')", show=False) for key in actions.all_keys()]
    # What has the focus is decided here: a run that goes on brings its log to the front before textual would look.
    AUTO_FOCUS = ""

    def __init__(self, controller: Controller) -> None:
        super().__init__()
        self.controller = controller
        self.snapshot: Snapshot = EMPTY
        self.active: Feed | None = None
        """The run that is going on, whether its log is shown or not."""
        self.chosen_run: str | None = None
        """The run whose log somebody asked for; None: the latest."""
        self._ticking: Timer | None = None
        self._drawn_second = 0
        self._title = ""

    def compose(self) -> ComposeResult:
        """Make the parts."""
        yield SiteHeader(id="header")
        with Horizontal(id="body"):
            with Vertical(id="left"):
                yield VersionTable(id="versions")
                yield Input(placeholder=tr("filter: words (Enter keeps, Esc clears)"), id="filter")
            with Vertical(id="right"):
                yield Detail(id="detail")
                yield Plot(id="plot")
                yield LogPane(id="log-pane")
        yield ActionBar(id="actions")

    def on_mount(self) -> None:
        """Show what is known, and begin to watch."""
        self.query_one("#filter").display = False
        self.set_class(True, "show-versions")
        self.query_one("#left").border_title = tr("Versions")
        self.query_one("#detail").border_title = tr("Detail")
        self.query_one("#plot").border_title = tr("Plot")
        self.query_one("#log-pane").border_title = tr("Log")
        self.set_focus(self.table)
        self.set_interval(_AGES, self._ages)
        self.controller.begin(self)

    @property
    def table(self) -> VersionTable:
        """Return the table."""
        return self.query_one("#versions", VersionTable)

    @property
    def log_pane(self) -> LogPane:
        """Return the pane of the log."""
        return self.query_one("#log-pane", LogPane)

    @property
    def place(self) -> Place:
        """Return the kind of pane that has the focus."""
        focused = self.focused
        if focused is not None and (isinstance(focused, LogView) or focused.id == "log-search"):
            return "log"
        return "table" if focused is not None and focused.id in ("versions", "filter") else ""

    @property
    def situation(self) -> Situation:
        """Return what decides which actions are available."""
        feed = self.log_pane.feed
        return Situation(
            self.snapshot,
            self.snapshot.version(self.table.cursor),
            feed.record if feed else None,
            self.log_pane.view.pattern is not None,
        )

    def take_snapshot(self, snapshot: Snapshot) -> None:
        """Show a new state of the site."""
        first = not self.snapshot.at
        before = self.snapshot.active
        self.snapshot = snapshot
        self.table.show(snapshot.versions, self.controller.sizes)
        self._follow_runs(snapshot)
        if first and snapshot.active is not None:
            self.go_to_pane("log", only_narrow=True)
        if before is not None:
            self._say_end(snapshot.run(before.id))
        self.bring_up_to_date()
        self.show_detail()

    def bring_up_to_date(self) -> None:
        """Draw again what depends on the state: header, plot, footer, titles."""
        use = self.controller.use
        self.query_one(SiteHeader).show(self.snapshot, use, self._what_runs())
        if self.query_one(Plot).display:
            self.query_one(Plot).show(self.snapshot.versions, self.controller.sizes)
        self.refresh_actions()

    def refresh_actions(self) -> None:
        """Draw the footer and the titles of the panes."""
        table = self.table
        shown = str(table.total)
        if table.wanted:
            shown = tr("{shown} of {total}", shown=len(table.rows), total=table.total)
        title = tr("Versions ({shown})", shown=shown) + (f" /{table.wanted}" if table.wanted else "")
        left = self.query_one("#left")
        # What was typed may look like markup.
        escaped = title.replace("[", r"\[")
        if escaped != self._title:
            left.border_title = self._title = escaped
        self.query_one(ActionBar).show(self.place, self.situation)

    def show_detail(self) -> None:
        """Show the selected version; what takes time is found out in a thread."""
        row = self.snapshot.version(self.table.cursor)
        plan = self.controller.comparison(self.snapshot, row)
        sizes = self.controller.sizes.get(row.name) if row else None
        self.query_one(Detail).show(self.snapshot, row, sizes, plan)

    def on_version_table_selected(self) -> None:
        """Another version is selected."""
        self.show_detail()
        self.refresh_actions()

    def on_version_table_opened(self) -> None:
        """Show the version that was double-clicked."""
        self.act("detail")

    def on_log_view_changed(self) -> None:
        """Draw the footer again: a search began or ended, perhaps."""
        self.refresh_actions()

    def on_descendant_focus(self) -> None:
        """Another pane has the focus: the footer says what can be done there."""
        self.show_focused_pane()
        self.refresh_actions()

    # Runs -----------------------------------------------------------------------------------------------------

    def show_run(self, record: RunRecord | None) -> None:
        """Show the log of a run."""
        pane = self.log_pane
        if record is None:
            pane.show(None, ())
        elif pane.feed is None or pane.feed.record.id != record.id:
            shared = self.active if self.active and self.active.record.id == record.id else None
            pane.show(shared or Feed.of(self.controller.runs, record), self.snapshot.runs)
            self.tick()
        self.refresh_actions()

    def _follow_runs(self, snapshot: Snapshot) -> None:
        active = snapshot.active
        pane = self.log_pane
        pane.unread = snapshot.unread
        if active is None:
            if self.active is not None and self.active is not pane.feed:
                self.active.file.close()
            self.active = None
        elif self.active is None or self.active.record.id != active.id:
            shown = pane.feed
            if self.active is not None and self.active is not shown:
                self.active.file.close()
            self.active = shown if shown and shown.record.id == active.id else Feed.of(self.controller.runs, active)
            # A run that begins is what everybody wants to see, unless somebody reads another log at this moment.
            reading = self.place == "log" and (not pane.view.following or self.focused is not pane.view)
            self.chosen_run = shown.record.id if reading and shown else None
        for feed in (self.active, pane.feed):
            record = snapshot.run(feed.record.id) if feed else None
            if feed and record:
                feed.record = record
        wanted = snapshot.run(self.chosen_run) or active or (snapshot.runs[0] if snapshot.runs else None)
        self.show_run(wanted)
        self.tick()

    def tick(self) -> None:
        """Take up what the runs wrote, and plan the next look: often while there is more, never when all is still."""
        more = self.log_pane.take_up(self.controller.flush_seconds)
        if self.active and self.active is not self.log_pane.feed:
            more = self.active.file.update() or more
        ended = self.active is not None and (self.active.progress.finished is not None or not self._alive())
        starting = self.active is not None and self.active.record.state == "starting" and self.active.progress.stages
        if ended or starting:
            self.controller.refresh()
        second = int(time.time())
        if second != self._drawn_second and self.active is not None:
            self._drawn_second = second
            self.query_one(SiteHeader).show(self.snapshot, self.controller.use, self._what_runs())
        if self._ticking is not None:
            self._ticking.stop()
            self._ticking = None
        if more or self.active is not None:
            self._ticking = self.set_timer(_CATCH_UP if more else self.controller.flush_seconds, self.tick)

    def _alive(self) -> bool:
        record = self.active.record if self.active else None
        return record is None or not record.pid or record.process.alive()

    def _what_runs(self) -> str:
        feed = self.active
        if feed is None:
            holder = self.snapshot.holder
            return tr("{operation} by {by}", operation=holder.operation, by=holder.by) if holder else ""
        run, stages = feed.record, feed.progress.stages
        stage = f", {stages[-1].name}" if stages else ""
        passed = formats.duration(float(int(max(0.0, time.time() - run.created)))).replace(decimal(".0s"), "s")
        behind = tr(" (+{waiting} waiting)", waiting=self.snapshot.waiting) if self.snapshot.waiting else ""
        who = tr("{operation} by {by}", operation=run.operation, by=run.by)
        return f"{who}{stage}, {passed}{behind}"

    def _say_end(self, record: RunRecord | None) -> None:
        if record is None or not record.ended:
            return
        from govma_console.tui.screens.operations import CancelDialog

        if isinstance(self.app.screen, CancelDialog):
            # Nothing is left that could be stopped.
            self.app.screen.action_leave()
        severity: Any = "information" if record.state == "ok" else "error"
        message = " ".join(record.message.split("\n")[:2])
        self.notify(message, title=f"{record.operation}: {tr(record.state)}", severity=severity, markup=False)

    def _ages(self) -> None:
        self.table.refresh_ages()
        # Also what nothing tells of: the room on the disk, and a run whose process never came.
        self.controller.refresh()

    # Panes ----------------------------------------------------------------------------------------------------

    def focus_order(self) -> list[Widget]:
        """Return what Tab goes through."""
        return [self.table, self.query_one("#plot" if self.has_class("plotting") else "#detail"), self.log_pane.view]

    def go_to_pane(self, pane: str, *, only_narrow: bool = False) -> None:
        """Give a pane the focus; `only_narrow`: only where one pane is shown at a time."""
        # Not by the class: before the first layout the screen has none.
        if only_narrow and self.app.size.width >= _WIDE:
            return
        if pane in ("detail", "plot"):
            self.set_class(pane == "plot", "plotting")
        target = {"versions": self.table, "log": self.log_pane.view}.get(pane) or self.query_one(f"#{pane}")
        self._show_pane(pane)
        self.set_focus(target)
        if pane == "plot":
            self.bring_up_to_date()

    def show_focused_pane(self) -> None:
        """Bring the pane that has the focus to the front."""
        focused = self.focused
        if focused is None:
            return
        for pane, selector in (("versions", "#left"), ("detail", "#detail"), ("plot", "#plot"), ("log", "#log-pane")):
            part = self.query_one(selector)
            if part is focused or part in focused.ancestors:
                self._show_pane(pane)

    def _show_pane(self, pane: str) -> None:
        for name in ("versions", "detail", "plot", "log"):
            self.set_class(name == pane, f"show-{name}")
