"""The main screen: header, table, detail, plot, log, footer; and how they are kept up to date."""

from __future__ import annotations

import time
from functools import partial
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen, Screen
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Input

from govma_console import formats
from govma_console.tui import actions, plans
from govma_console.tui.actions import Action, Place, Situation
from govma_console.tui.background import Controller
from govma_console.tui.dialogs.base import Result
from govma_console.tui.panes.detail import Detail
from govma_console.tui.panes.footer import ActionBar
from govma_console.tui.panes.header import SiteHeader
from govma_console.tui.panes.log import Feed, LogHandling, LogPane
from govma_console.tui.panes.log_view import LogView
from govma_console.tui.panes.plot import Plot
from govma_console.tui.panes.versions import VersionTable
from govma_console.tui.site_state import EMPTY, Snapshot
from govma_core.runs.launch import local_requester, prepared_store
from govma_core.runs.store import RunRecord
from govma_core.text.language import decimal, tr
from govma_core.versions.holds import Hold, HoldStore


class Handling(LogHandling):
    """The methods of the main screen that carry actions out."""

    def action_press(self, key: str) -> None:
        """Carry out the action of a key, for the pane that has the focus."""
        found = actions.for_key(key, self._screen.place)
        if found is not None:
            self.act(found.id)

    def on_action_bar_clicked(self, message: ActionBar.Clicked) -> None:
        """Carry out an action that was clicked."""
        self.act(message.action_id)

    def act(self, action_id: str) -> None:
        """Carry out an action, or say why it is not available."""
        action: Action = actions.BY_ID[action_id]
        reason = action.reason(self._screen.situation)
        if reason:
            self._screen.notify(
                reason, title=tr("{label}: not now", label=action.label), severity="warning", markup=False
            )
            return
        getattr(self, f"do_{action_id}")()

    def do_deploy(self) -> None:
        """Ask, then deploy."""
        from govma_console.tui.dialogs.deploy import DeployDialog

        self._ask("deploy", DeployDialog(self._screen.controller.settings))

    def do_rollback(self) -> None:
        """Ask, then roll back: to the selected version, or from the live one to the one before."""
        from govma_console.tui.dialogs.deploy import SwitchDialog

        row = self._screen.situation.selected
        target = None if row is None or row.current else row
        self._ask("rollback", SwitchDialog(self._screen.controller.settings, self._screen.snapshot, "rollback", target))

    def do_promote(self) -> None:
        """Ask, then promote the selected version."""
        from govma_console.tui.dialogs.deploy import SwitchDialog

        row = self._screen.situation.selected
        self._ask("promote", SwitchDialog(self._screen.controller.settings, self._screen.snapshot, "promote", row))

    def do_check(self) -> None:
        """Try the selected version: it changes nothing, so nothing is asked."""
        row = self._screen.situation.selected
        if row is not None:
            self._start("check", {"version": row.name})

    def do_cancel(self) -> None:
        """Ask, then ask the run to stop."""
        from govma_console.tui.dialogs.deploy import CancelDialog
        from govma_core.runs.cancel import cancel

        active = self._screen.active
        record = self._screen.snapshot.active
        if record is None:
            return
        stage = active.progress.stages[-1].name if active and active.progress.stages else record.stage
        run: RunRecord = record

        def answered(result: Result) -> None:
            if result is not None:
                self._screen.controller.in_thread(lambda: cancel(self._screen.controller.runs, run.id), asked)

        def asked(_: object, error: str) -> None:
            self._tell(tr("Run {id} was asked to stop.", id=run.id), error)

        self._screen.app.push_screen(CancelDialog(run, stage), answered)

    def _ask(self, operation: str, dialog: ModalScreen[Result]) -> None:
        def answered(arguments: Result) -> None:
            if arguments is not None:
                self._start(operation, arguments)

        self._screen.app.push_screen(dialog, answered)

    def _start(self, operation: str, arguments: dict[str, Any]) -> None:
        def started(error: str) -> None:
            if error:
                self._screen.notify(
                    error,
                    title=tr("{operation} was not started", operation=operation),
                    severity="error",
                    markup=False,
                    timeout=15,
                )
            else:
                self._screen.chosen_run = None
                self._screen.go_to_pane("log", only_narrow=True)
            self._screen.controller.refresh()

        self._screen.controller.start(operation, arguments, started)

    def do_dedupe(self) -> None:
        """Show what a dedupe would free, then dedupe."""
        from govma_console.tui.dialogs.disk import DedupeDialog

        self._ask("dedupe", DedupeDialog(self._screen.controller.settings))

    def do_prune(self) -> None:
        """Show what a prune would remove, then prune."""
        from govma_console.tui.dialogs.disk import PruneDialog

        self._ask("prune", PruneDialog(self._screen.controller.settings))

    def do_pin(self) -> None:
        """Pin the selected version, or take its pin away."""
        from govma_console.tui.dialogs.disk import PinDialog

        row = self._screen.situation.selected
        settings = self._screen.controller.settings
        if row is None:
            return
        version, pinned = row.name, row.pinned is not None

        def answered(result: Result) -> None:
            if result is not None:
                reason = result["reason"]
                work = (
                    partial(plans.unpin, settings, version) if pinned else partial(plans.pin, settings, version, reason)
                )
                self._screen.controller.in_thread(work, told)

        def told(_: object, error: str) -> None:
            done = tr("{version} is {value}pinned.", version=version, value=tr("no longer ") * pinned)
            self._tell(done, error)
            self._screen.controller.refresh()

        self._screen.app.push_screen(PinDialog(row), answered)

    def do_hold(self) -> None:
        """Ask why and until when, then hold all deploys."""
        from govma_console.tui.dialogs.holds import HoldDialog

        def answered(result: Result) -> None:
            if result is not None:
                by = local_requester("console").by

                def work() -> Hold:
                    return self._holds().hold(result["reason"], by, time.time(), result["until"])

                self._screen.controller.in_thread(work, partial(self._tell_of_holds, tr("Deploys are held.")))

        self._screen.app.push_screen(HoldDialog(self._screen.snapshot.holds), answered)

    def do_release(self) -> None:
        """Ask, then end all holds."""
        from govma_console.tui.dialogs.holds import ReleaseDialog

        def answered(result: Result) -> None:
            if result is not None:
                self._screen.controller.in_thread(
                    lambda: self._holds().release(), partial(self._tell_of_holds, tr("Deploys are no longer held."))
                )

        self._screen.app.push_screen(ReleaseDialog(self._screen.snapshot.holds), answered)

    def _holds(self) -> HoldStore:
        prepared_store(self._screen.controller.settings)
        return HoldStore(self._screen.controller.settings.state_dir)

    def _tell_of_holds(self, done: str, _: object, error: str) -> None:
        self._tell(done, error)
        self._screen.controller.refresh()

    def do_services(self) -> None:
        """Show the containers; what is answered there is a restart of some."""
        from govma_console.tui.services_screen import ServicesScreen

        blocked = actions.BY_ID["deploy"].reason(self._screen.situation)
        self._ask("services", ServicesScreen(self._screen.controller.settings, blocked))

    def do_refresh(self) -> None:
        """Read everything anew."""
        self._screen.controller.measure()
        self._screen.controller.refresh()

    def do_versions(self) -> None:
        """Go to the table."""
        self._screen.go_to_pane("versions")

    def do_detail(self) -> None:
        """Go to the detail."""
        self._screen.go_to_pane("detail")

    def do_plot(self) -> None:
        """Go to the plot."""
        self._screen.go_to_pane("plot")

    def do_log(self) -> None:
        """Go to the log."""
        self._screen.go_to_pane("log")

    def do_pane(self, step: int = 1) -> None:
        """Go to the next pane; on a narrow terminal, between table and log."""
        order = self._screen.focus_order()
        if self._screen.has_class("-narrow"):
            order = [order[0], order[2]]
        focused = self._screen.focused
        at = next((number for number, widget in enumerate(order) if widget is focused), -1 if step > 0 else 1)
        target = order[(at + step) % len(order)]
        self._screen.set_focus(target)

    def do_pane_back(self) -> None:
        """Go to the pane before."""
        self.do_pane(-1)

    def do_zoom(self) -> None:
        """Give the focused pane the whole screen, or take it back."""
        self._screen.toggle_class("zoomed")

    def do_filter(self) -> None:
        """Ask for the words of the filter."""
        field = self._screen.query_one("#filter", Input)
        field.display = True
        self._screen.set_focus(field)

    def do_sort(self) -> None:
        """Sort by the next column."""
        self._screen.table.sort_next()

    def do_reverse(self) -> None:
        """Turn the order round."""
        self._screen.table.sort(self._screen.table.sort_key)

    def do_theme(self) -> None:
        """Change between dark and light."""
        name = self._screen.app.theme
        pairs = {"dark": "light", "light": "dark"}
        kind, _, shade = name.rpartition("-")
        self._screen.app.theme = f"{kind}-{pairs[shade]}" if shade in pairs else "govma-dark"

    def do_help(self) -> None:
        """Show all keys."""
        from govma_console.tui.dialogs.help import HelpScreen

        self._screen.app.push_screen(HelpScreen(self._screen.situation))

    def do_quit(self) -> None:
        """Leave; say that a run goes on."""
        run = self._screen.snapshot.active
        if run is not None:
            self._screen.controller.leave_running(run)
        self._screen.app.exit(0)


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
        from govma_console.tui.dialogs.deploy import CancelDialog

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
