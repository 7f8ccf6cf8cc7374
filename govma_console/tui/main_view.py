"""The parts of the main screen: header, table, detail, plot, log, footer; and how they are kept up to date."""

from __future__ import annotations

from functools import partial
from typing import Any

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import Screen
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Input

from govma_console.tui.actions import Place
from govma_console.tui.availability import Situation
from govma_console.tui.background import Background
from govma_console.tui.dialogs.deploy import CancelDialog
from govma_console.tui.panes.detail import Detail
from govma_console.tui.panes.footer import ActionBar
from govma_console.tui.panes.header import SiteHeader
from govma_console.tui.panes.log import LogPane
from govma_console.tui.panes.log_view import LogView
from govma_console.tui.panes.plot import Plot
from govma_console.tui.panes.versions import VersionTable
from govma_console.tui.site_state import EMPTY, Snapshot
from govma_core.runs.store import RunRecord
from govma_core.text.language import tr

PANES = {
    "versions": ("#left", tr("Versions")),
    "detail": ("#detail", tr("Detail")),
    "plot": ("#plot", tr("Plot")),
    "log": ("#log-pane", tr("Log")),
}
"""The frame and the title of each pane; the action with its name goes to it."""
_WIDE = 120
_AGES_SECONDS = 20.0
_RESTING_SECONDS = 0.15
"""Versions are compared only when the cursor rests: holding a key down must not start a hundred gits."""


class MainView(Screen[None]):
    """Everything at a glance on a wide terminal, one pane at a time on a narrow one."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (_WIDE, "-wide")]  # noqa: RUF012 - as its base class declares it
    # The focus is set here: a run that goes on brings its log to the front before textual would choose.
    AUTO_FOCUS = ""

    def __init__(self, background: Background) -> None:
        super().__init__()
        self.background = background
        self.snapshot: Snapshot = EMPTY
        """The state that is shown."""
        self._comparing: Timer | None = None

    def compose(self) -> ComposeResult:
        """Make the header, the panes and the footer."""
        yield SiteHeader(id="header")
        with Horizontal(id="body"):
            with Vertical(id="left"):
                yield VersionTable(id="versions")
                yield Input(placeholder=tr("filter: words (Enter keeps, Esc clears)"), id="filter")
            with Vertical(id="right"):
                yield Detail(id="detail")
                yield Plot(id="plot")
                yield LogPane(self.background.runs, self.background.flush_seconds, id="log-pane")
        yield ActionBar(id="actions")

    def on_mount(self) -> None:
        """Show the first state, and begin to watch."""
        self.query_one("#filter").display = False
        self.set_class(True, "show-versions")
        for selector, title in PANES.values():
            self.query_one(selector).border_title = title
        self.set_focus(self.table)
        self.set_interval(_AGES_SECONDS, self._refresh_ages)
        self.background.begin(self)
        if self.background.snapshot.at:
            self.show_site()

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
        """Return the facts that decide which actions are available."""
        feed = self.log_pane.feed
        return Situation(
            self.snapshot,
            self.snapshot.version(self.table.cursor),
            feed.record if feed else None,
            self.log_pane.view.pattern is not None,
        )

    @property
    def has_parts(self) -> bool:
        """Tell whether the panes exist; they are removed one after the other when the app is left."""
        return self.is_attached and self.app.is_running and bool(self.query("#versions"))

    # What is shown ----------------------------------------------------------------------------------------------

    def on_site_changed(self) -> None:
        """Show what is known of the site now."""
        if self.has_parts:
            self.show_site()

    def show_site(self) -> None:
        """Show the state of the site that was read last, and have its versions measured."""
        before, self.snapshot = self.snapshot, self.background.snapshot
        self.table.show(self.snapshot.versions)
        self.log_pane.follow(self.snapshot)
        if not before.at and self.snapshot.active is not None:
            self.go_to_pane("log", only_narrow=True)
        if before.active is not None:
            self._say_end(self.snapshot.run(before.active.id))
        self.bring_up_to_date()
        self.show_detail()
        self.background.measure()

    def bring_up_to_date(self) -> None:
        """Draw header, plot, footer and titles again."""
        self.show_header()
        self.query_one(Plot).versions = self.snapshot.versions
        self.refresh_actions()

    def show_header(self) -> None:
        """Draw the header: the site, its disk, and the run that goes on."""
        self.query_one(SiteHeader).show(self.snapshot, self.background.use, self.log_pane.what_runs)

    def refresh_actions(self) -> None:
        """Draw the footer and the titles of the panes."""
        table = self.table
        number = str(len(self.snapshot.versions))
        if table.filter_words:
            number = tr("{shown} of {total}", shown=len(table.rows), total=number)
        title = tr("Versions ({shown})", shown=number) + (f" /{table.filter_words}" if table.filter_words else "")
        frame = self.query_one("#left")
        # The filter may look like markup.
        content = Content(title)
        if frame.border_title != content.markup:
            frame.border_title = content
        self.query_one(ActionBar).show(self.place, self.situation)

    def show_detail(self) -> None:
        """Show the selected version; it is compared with the live one when the cursor rests on it."""
        row = self.snapshot.version(self.table.cursor)
        plan = None
        if self._comparing is not None:
            self._comparing.stop()
        if row is not None and not row.is_live:
            plan = self.background.comparison(row)
            if plan is None:
                self._comparing = self.set_timer(_RESTING_SECONDS, partial(self.background.compare, row))
        self.query_one(Detail).show(self.snapshot, row, plan)

    def on_version_table_selected(self) -> None:
        """Show the version that is selected now."""
        self.show_detail()
        self.refresh_actions()

    def on_version_table_opened(self) -> None:
        """Show the version that was double-clicked."""
        self.go_to_pane("detail")

    def on_log_view_changed(self) -> None:
        """Draw the footer again: a search may have begun or ended."""
        self.refresh_actions()

    def on_descendant_focus(self) -> None:
        """Show the pane that has the focus now, and its actions in the footer."""
        self.show_focused_pane()
        self.refresh_actions()

    def on_log_pane_progressed(self) -> None:
        """Show the time of the run that goes on."""
        self.show_header()

    def on_log_pane_run_changed(self) -> None:
        """Read the state again: a run began or ended."""
        self.background.refresh()

    def _say_end(self, record: RunRecord | None) -> None:
        if record is None or not record.ended:
            return
        if isinstance(self.app.screen, CancelDialog):
            # Nothing is left that could be stopped.
            self.app.screen.action_leave()
        severity: Any = "information" if record.exit_code == 0 else "error"
        message = " ".join(record.message.split("\n")[:2])
        self.notify(message, title=f"{record.operation}: {tr(record.state)}", severity=severity, markup=False)

    def _refresh_ages(self) -> None:
        self.table.refresh_ages()
        # No change of a file announces these: the room on the disk, and a run whose process did not start.
        self.background.refresh()

    # Panes ----------------------------------------------------------------------------------------------------

    def focus_order(self) -> list[Widget]:
        """Return the widgets that Tab goes through."""
        return [self.table, self.query_one("#plot" if self.has_class("plotting") else "#detail"), self.log_pane.view]

    def go_to_pane(self, pane: str, *, only_narrow: bool = False) -> None:
        """Focus a pane; `only_narrow`: only where one pane is shown at a time."""
        # Not by the class: before the first layout the screen has none.
        if only_narrow and self.app.size.width >= _WIDE:
            return
        if pane in ("detail", "plot"):
            self.set_class(pane == "plot", "plotting")
        target = {"versions": self.table, "log": self.log_pane.view}.get(pane) or self.query_one(f"#{pane}")
        self._show_pane(pane)
        self.set_focus(target)

    def show_focused_pane(self) -> None:
        """Bring the pane that has the focus to the front."""
        focused = self.focused
        if focused is None:
            return
        for pane, (selector, _) in PANES.items():
            part = self.query_one(selector)
            if part is focused or part in focused.ancestors:
                self._show_pane(pane)

    def _show_pane(self, pane: str) -> None:
        for name in PANES:
            self.set_class(name == pane, f"show-{name}")
