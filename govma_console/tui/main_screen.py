"""The main screen: what each key does. The panes have the actions that concern them alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widgets import Input

from govma_console.tui import actions
from govma_console.tui.background import RunStarted, in_thread
from govma_console.tui.dialogs.base import AskDialog, Dialog, Result
from govma_console.tui.dialogs.deploy import CancelDialog, DeployDialog, SwitchDialog
from govma_console.tui.dialogs.disk import DedupeDialog, PruneDialog
from govma_console.tui.dialogs.help import HelpScreen
from govma_console.tui.dialogs.holds import HoldDialog, ReleaseDialog
from govma_console.tui.dialogs.runs import RunsScreen
from govma_console.tui.main_view import PANES, MainView
from govma_core.runs.launch import cancel, prepare_store
from govma_core.text.language import tr
from govma_core.versions.holds import HoldStore
from govma_core.versions.marks import PinStore


class MainScreen(MainView):
    """The main screen with its actions: `action_<id>` for each of the registry that no pane has."""

    # A slow line delivers several keys at once. A `/` moves the focus before the next one is looked at (priority): what
    # follows belongs to the field, and must not be taken for keys of actions.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(key, f"press('{key}')", show=False, priority=key == "slash") for key in actions.all_keys()
    ]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool:
        """Tell whether a key is an action: a `/` in a field is a letter."""
        return not (action == "press" and parameters == ("slash",) and isinstance(self.focused, Input))

    def action_press(self, key: str) -> None:
        """Carry out the action of a key, for the pane that has the focus."""
        action = actions.for_key(key, self.place)
        if action is not None:
            self.action_carry_out(action.id)

    def action_carry_out(self, action_id: str) -> None:
        """Carry out an action of the registry, or say why it is not available now.

        It starts a run of the operation with its id, goes to the pane with its id, or is a method `action_<id>` of the
        pane that it belongs to, else of this screen.
        """
        action = actions.BY_ID[action_id]
        reason = action.reason(self.situation)
        if reason:
            self.notify(reason, title=tr("{label}: not now", label=action.label), severity="warning", markup=False)
            return
        if action.starts is not None:
            self.background.start(action.id, action.starts(self.situation))
            return
        if action.id in PANES:
            self.go_to_pane(action.id)
            return
        pane = {"log": self.log_pane, "table": self.table}.get(action.where)
        carry_out = getattr(pane, f"action_{action_id}", None) or getattr(self, f"action_{action_id}")
        carry_out()

    def action_deploy(self) -> None:
        """Ask, then deploy."""
        self._ask("deploy", DeployDialog(self.background.settings))

    def action_rollback(self) -> None:
        """Ask, then roll back: to the selected version, or from the live one to the one before."""
        row = self.situation.selected
        target = None if row is None or row.is_live else row
        self._ask("rollback", SwitchDialog(self.background.settings, self.snapshot, "rollback", target))

    def action_promote(self) -> None:
        """Ask, then promote the selected version."""
        self._ask("promote", SwitchDialog(self.background.settings, self.snapshot, "promote", self.situation.selected))

    def action_dedupe(self) -> None:
        """Show what a dedupe would free, then dedupe."""
        self._ask("dedupe", DedupeDialog(self.background.settings))

    def action_prune(self) -> None:
        """Show what a prune would remove, then prune."""
        self._ask("prune", PruneDialog(self.background.settings))

    def action_services(self) -> None:
        """Show the containers; the answer of that panel is a restart of some."""
        from govma_console.tui.services_screen import ServicesScreen

        blocked = actions.BY_ID["deploy"].reason(self.situation)
        self._ask("services", ServicesScreen(self.background.settings, blocked))

    def _ask(self, operation: str, dialog: ModalScreen[Result]) -> None:
        """Open a dialog, and start a run of the operation with the arguments that it is answered with."""

        def start(arguments: Result) -> None:
            if arguments is not None:
                self.background.start(operation, arguments)

        self.app.push_screen(dialog, start)

    def on_run_started(self, message: RunStarted) -> None:
        """Show the log of the run, or say why it was not started."""
        if not self.has_parts:
            return
        if message.problem:
            title = tr("{operation} was not started", operation=message.operation)
            self.notify(message.problem, title=title, severity="error", markup=False, timeout=15)
        else:
            self.log_pane.chosen_run = None
            self.go_to_pane("log", only_narrow=True)
        self.background.refresh()

    def action_cancel(self) -> None:
        """Ask, then ask the run to stop."""
        run, feed = self.snapshot.active, self.log_pane.active
        if run is None:
            return
        stage = feed.progress.stages[-1].name if feed and feed.progress.stages else run.stage
        sentence = tr("Run {id} was asked to stop.", id=run.id)
        self._change(CancelDialog(run, stage), lambda _: cancel(self.background.runs, run.id), sentence)

    def action_pin(self) -> None:
        """Pin the selected version, or take its pin away."""
        row, pins = self.situation.selected, PinStore(self.background.settings.state_dir)
        if row is None:
            return
        is_pinned = row.pin is not None
        sentence = tr("{version} is {value}pinned.", version=row.name, value=tr("no longer ") * is_pinned)
        if row.pin is not None:
            known = row.pin.sentence()
            text = tr("{name} is {known}. Without the pin, prune may remove it.", name=row.name, known=known)
            self._change(Dialog(tr("Unpin"), text), lambda _: pins.unpin(row.name), sentence)
            return

        def pin(answer: dict[str, Any]) -> None:
            pins.pin(row.name, self.background.operator, answer["text"], time.time())

        text = tr("prune will keep {name} until it is unpinned.", name=row.name)
        self._change(AskDialog(tr("Pin"), text, placeholder=tr("why (may be empty)")), pin, sentence)

    def action_hold(self) -> None:
        """Ask why and until when, then hold all deploys."""

        def change(answer: dict[str, Any]) -> None:
            holds = HoldStore(self.background.settings.state_dir)
            holds.hold(answer["reason"], self.background.operator, time.time(), answer["until"])

        self._change(HoldDialog(self.snapshot.holds), change, tr("Deploys are held."))

    def action_release(self) -> None:
        """Ask, then end all holds."""
        store = HoldStore(self.background.settings.state_dir)
        self._change(ReleaseDialog(self.snapshot.holds), lambda _: store.release(), tr("Deploys are no longer held."))

    def _change(self, dialog: ModalScreen[Result], change: Callable[[dict[str, Any]], object], sentence: str) -> None:
        """Open a dialog, call `change` with its answer, and show the sentence, or why that failed."""

        def write(answer: dict[str, Any]) -> None:
            prepare_store(self.background.settings)
            change(answer)

        def tell(_: object, problem: str) -> None:
            self.notify(problem or sentence, severity="error" if problem else "information", markup=False)
            self.background.refresh()

        def begin(answer: Result) -> None:
            if answer is not None:
                in_thread(self, partial(write, answer), tell)

        self.app.push_screen(dialog, begin)

    def action_refresh(self) -> None:
        """Read, measure and compare everything again."""
        self.background.forget()
        self.background.measure()
        self.background.refresh()

    def action_run_log(self) -> None:
        """Show the log of the run that made the selected version."""
        row = self.situation.selected
        self.log_pane.choose(self.snapshot.run(row.manifest.run if row and row.manifest else None))
        self.go_to_pane("log")

    def action_runs(self) -> None:
        """List the runs, and show the log of one."""

        def show(run_id: str | None) -> None:
            if run_id is not None:
                self.log_pane.choose(self.snapshot.run(run_id))
                self.go_to_pane("log")

        feed = self.log_pane.feed
        self.app.push_screen(RunsScreen(self.snapshot.runs, feed.record.id if feed else ""), show)

    def action_older(self) -> None:
        """Show the log of the run before."""
        self.log_pane.step(1)
        self.go_to_pane("log", only_narrow=True)

    def action_newer(self) -> None:
        """Show the log of the next run."""
        self.log_pane.step(-1)
        self.go_to_pane("log", only_narrow=True)

    def action_pane(self, step: int = 1) -> None:
        """Go to the next pane; on a narrow terminal, between table and log."""
        order = self.focus_order()
        if self.has_class("-narrow"):
            order = [order[0], order[2]]
        at = order.index(self.focused) if self.focused in order else -1 if step > 0 else 1
        self.set_focus(order[(at + step) % len(order)])

    def action_pane_back(self) -> None:
        """Go to the pane before."""
        self.action_pane(-1)

    def action_zoom(self) -> None:
        """Enlarge the focused pane to the whole screen, or shrink it again."""
        self.toggle_class("zoomed")

    def action_filter(self) -> None:
        """Ask for the words of the filter."""
        field = self.query_one("#filter", Input)
        field.display = True
        self.set_focus(field)

    def action_theme(self) -> None:
        """Change between dark and light."""
        name = self.app.theme
        pairs = {"dark": "light", "light": "dark"}
        kind, _, shade = name.rpartition("-")
        self.app.theme = f"{kind}-{pairs[shade]}" if shade in pairs else "govma-dark"

    def action_help(self) -> None:
        """Show all keys."""
        self.app.push_screen(HelpScreen(self.situation))

    def action_quit(self) -> None:
        """Leave; a run that goes on is mentioned when the screen is gone."""
        if self.snapshot.active is not None:
            self.background.leave_running(self.snapshot.active)
        self.app.exit(0)

    # Filter -----------------------------------------------------------------------------------------------------

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the filter."""
        event.input.display = bool(event.value)
        self.set_focus(self.table)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while it is typed."""
        self.table.filter(event.value)
        self.refresh_actions()

    def key_escape(self) -> None:
        """Leave the filter or the search, end a selection; else go back to the table."""
        field = self.query_one("#filter", Input)
        if field.has_focus:
            self.set_focus(self.table)
        elif self.log_pane.leave():
            return
        elif not self.table.filter_words:
            self.remove_class("zoomed")
            self.go_to_pane("versions")
            return
        field.value = ""
        field.display = False
