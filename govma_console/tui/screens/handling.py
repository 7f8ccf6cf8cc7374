"""What each action does: one method `do_<id>` for every entry of the registry."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from textual.screen import ModalScreen
from textual.widgets import Input

from govma_console.tui import actions, disk
from govma_console.tui.action import Action
from govma_console.tui.screens.dialog import Result
from govma_console.tui.screens.handling_log import LogHandling
from govma_console.tui.widgets.action_bar import ActionBar
from govma_core.language import tr
from govma_core.runs.launch import prepared_store
from govma_core.runs.record import RunRecord
from govma_core.runs.requester import local_requester
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
        from govma_console.tui.screens.operations import DeployDialog

        self._ask("deploy", DeployDialog(self._screen.controller.settings))

    def do_rollback(self) -> None:
        """Ask, then roll back: to the selected version, or from the live one to the one before."""
        from govma_console.tui.screens.operations import SwitchDialog

        row = self._screen.situation.selected
        target = None if row is None or row.current else row
        self._ask("rollback", SwitchDialog(self._screen.controller.settings, self._screen.snapshot, "rollback", target))

    def do_promote(self) -> None:
        """Ask, then promote the selected version."""
        from govma_console.tui.screens.operations import SwitchDialog

        row = self._screen.situation.selected
        self._ask("promote", SwitchDialog(self._screen.controller.settings, self._screen.snapshot, "promote", row))

    def do_check(self) -> None:
        """Try the selected version: it changes nothing, so nothing is asked."""
        row = self._screen.situation.selected
        if row is not None:
            self._start("check", {"version": row.name})

    def do_cancel(self) -> None:
        """Ask, then ask the run to stop."""
        from govma_console.tui.screens.operations import CancelDialog
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
        from govma_console.tui.screens.disk_dialogs import DedupeDialog

        self._ask("dedupe", DedupeDialog(self._screen.controller.settings))

    def do_prune(self) -> None:
        """Show what a prune would remove, then prune."""
        from govma_console.tui.screens.disk_dialogs import PruneDialog

        self._ask("prune", PruneDialog(self._screen.controller.settings))

    def do_pin(self) -> None:
        """Pin the selected version, or take its pin away."""
        from govma_console.tui.screens.disk_dialogs import PinDialog

        row = self._screen.situation.selected
        settings = self._screen.controller.settings
        if row is None:
            return
        version, pinned = row.name, row.pinned is not None

        def answered(result: Result) -> None:
            if result is not None:
                reason = result["reason"]
                work = (
                    partial(disk.unpin, settings, version) if pinned else partial(disk.pin, settings, version, reason)
                )
                self._screen.controller.in_thread(work, told)

        def told(_: object, error: str) -> None:
            done = tr("{version} is {value}pinned.", version=version, value=tr("no longer ") * pinned)
            self._tell(done, error)
            self._screen.controller.refresh()

        self._screen.app.push_screen(PinDialog(row), answered)

    def do_hold(self) -> None:
        """Ask why and until when, then hold all deploys."""
        from govma_console.tui.screens.hold_dialogs import HoldDialog

        def answered(result: Result) -> None:
            if result is not None:
                by = local_requester("console").by

                def work() -> Hold:
                    return self._holds().hold(result["reason"], by, time.time(), result["until"])

                self._screen.controller.in_thread(work, partial(self._tell_of_holds, tr("Deploys are held.")))

        self._screen.app.push_screen(HoldDialog(self._screen.snapshot.holds), answered)

    def do_release(self) -> None:
        """Ask, then end all holds."""
        from govma_console.tui.screens.hold_dialogs import ReleaseDialog

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
        from govma_console.tui.screens.services import ServicesScreen

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
        from govma_console.tui.screens.help import HelpScreen

        self._screen.app.push_screen(HelpScreen(self._screen.situation))

    def do_quit(self) -> None:
        """Leave; say that a run goes on."""
        run = self._screen.snapshot.active
        if run is not None:
            self._screen.controller.leave_running(run)
        self._screen.app.exit(0)
