"""The panel of the containers: what runs, what differs from the compose files, and the output of one service."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Log, OptionList, Static
from textual.widgets.option_list import Option

from govma_console import formats
from govma_console.output import hinted
from govma_console.tui.dialogs.base import Panel, Result, Toggle, TypedDialog
from govma_console.tui.query import Query
from govma_core.errors import GovmaError
from govma_core.services.drift import NONE, downtime_text, nothing_differs, state_text
from govma_core.services.logs import service_log
from govma_core.settings import Settings
from govma_core.text.language import counted, tr

_FIRST_LINES = 40
"""Lines of each service that are shown without following it."""
_MOST_LINES = 2000
_FLUSH_SECONDS = 0.25
_GOOD = {"running", "healthy"}
_ALARM = "bold $text-error"


class ServicesScreen(Panel[Result]):
    """Shows the containers; its answer are the arguments of a restart that the operator confirmed.

    `blocked` is the sentence why nothing can be restarted now; '' when it can.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "leave", show=False),
        Binding("u", "restart(False)", show=False),
        Binding("U", "restart(True)", show=False),
        Binding("l,f,enter", "follow", show=False),
        Binding("D", "disk", show=False),
        Binding("r,f5", "look", show=False),
        Binding("pageup", "scroll_about(-5)", show=False, priority=True),
        Binding("pagedown", "scroll_about(5)", show=False, priority=True),
    ]

    def __init__(self, settings: Settings, blocked: str) -> None:
        super().__init__()
        self._settings, self._blocked = settings, blocked
        self._view: dict[str, Any] = {}
        self._tail: ServiceTail | None = None
        self._with_disk_use = False
        self._cursor_name = ""

    def compose(self) -> ComposeResult:
        """Make the list, the text about one service, its log, and the line of keys."""
        with Vertical(id="services-panel"):
            yield Static(tr("Services"), id="dialog-title")
            yield OptionList(id="services-list", compact=True)
            with VerticalScroll(id="services-about", can_focus=False):
                yield Static("", id="services-text")
            yield Log(id="services-log", max_lines=_MOST_LINES, auto_scroll=True)
            yield Static("", id="services-hint", classes="hint")

    def on_mount(self) -> None:
        """Begin to look."""
        self.query_one("#services-log").can_focus = False
        self.query_one("#services-list").focus()
        self.set_interval(_FLUSH_SECONDS, self._take_lines)
        self.action_look()

    def on_unmount(self) -> None:
        """Stop following."""
        self._end_tail()

    # What is shown ----------------------------------------------------------------------------------------------

    def action_look(self) -> None:
        """Look at the containers, in a process of its own."""
        self._show_hint(tr("checking …"))
        self.ask(Query(self._settings, "services", lines=_FIRST_LINES, disk=self._with_disk_use), self._show)

    def show_problem(self, problem: str) -> None:
        """Show why nothing is known of the containers."""
        self.query_one("#services-text", Static).update(Content.styled(problem, "$text-error"))
        self._show_hint()

    def action_disk(self) -> None:
        """Measure the persistent directories, too."""
        self._with_disk_use = True
        self.action_look()

    def _show(self, view: dict[str, Any]) -> None:
        self._view = view
        names = [service["name"] for service in view["services"]]
        services = self.query_one("#services-list", OptionList)
        services.clear_options()
        services.add_options(Option(_row(service, view, self.size.width)) for service in view["services"])
        services.display = bool(names)
        if names:
            services.highlighted = names.index(self._cursor_name) if self._cursor_name in names else 0
        title = tr("Services of {found}", found=view["project"]) if view["project"] else tr("Services")
        self.query_one("#dialog-title", Static).update(Content.assemble(title, (f"  {view['directory']}", "$muted")))
        self._show_service()
        self._show_hint()

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Show another service."""
        event.stop()
        service = self._service
        if service is not None and service["name"] != self._cursor_name:
            self._cursor_name = service["name"]
            self._end_tail()
            self._show_service()
            self._show_hint()

    @property
    def _service(self) -> dict[str, Any] | None:
        """Return the service under the cursor."""
        at = self.query_one("#services-list", OptionList).highlighted
        services = self._view.get("services", [])
        return services[at] if at is not None and at < len(services) else None

    def _show_service(self) -> None:
        service = self._service
        self.query_one("#services-text", Static).update(Content("\n").join(_about(self._view, service)))
        if self._tail is None:
            log = self.query_one("#services-log", Log)
            log.clear()
            log.write_lines(service["lines"] if service else [])

    def _show_hint(self, activity: str = "") -> None:
        following = tr("Enter stop following") if self._tail else tr("Enter follow")
        text = tr(
            "{doing}{following}  u restart it  U all  D disk use  r look again  Esc closes",
            doing=f"{activity}  " if activity else "",
            following=following,
        )
        self.query_one("#services-hint", Static).update(Content(text))

    def action_scroll_about(self, lines: int) -> None:
        """Scroll the text about the service."""
        self.query_one("#services-about").scroll_relative(y=lines, animate=False)

    # The output of a service ------------------------------------------------------------------------------------

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Follow the output of the service, or stop."""
        event.stop()
        self.action_follow()

    def action_follow(self) -> None:
        """Follow the output of the service under the cursor, or stop."""
        if self._tail is not None:
            self._end_tail()
        elif self._service is not None and self._service["container"]:
            self.query_one("#services-log", Log).clear()
            self._tail = ServiceTail(self._settings, self._service["name"])
        self._show_hint()

    def _take_lines(self) -> None:
        lines = self._tail.take() if self._tail else []
        if lines:
            self.query_one("#services-log", Log).write_lines(lines)

    def _end_tail(self) -> None:
        if self._tail is not None:
            self._tail.close()
            self._tail = None

    # Restart ----------------------------------------------------------------------------------------------------

    def action_restart(self, every: bool) -> None:
        """Ask whether the service under the cursor, or every one, is to be restarted; a yes closes the panel."""
        if not self._view.get("project") or not self._view.get("services"):
            self.notify(tr("There is nothing to restart."), severity="warning", markup=False)
            return
        if self._blocked:
            self.notify(self._blocked, title=tr("Restart: not now"), severity="warning", markup=False)
            return

        def close(result: Result) -> None:
            if result is not None:
                self.dismiss(result)

        service = None if every else self._service
        self.app.push_screen(RestartDialog(self._view, service["name"] if service else None), close)


def _row(service: dict[str, Any], view: dict[str, Any], width: int) -> Content:
    """Return a service as a line of the list."""
    count = sum(difference["service"] == service["name"] for difference in view["differences"])
    words = state_text(service["state"])
    state = f"{words}, {service['health']}" if service["health"] else words
    mark = "●" if (service["health"] or service["state"]) in _GOOD else "✗"
    since = f"{formats.age(service['started']):>4}" if service["state"] == "running" else "    "
    restarts = f"  {counted(service['restarts'], 'restart', 'restarts')}" if service["restarts"] else ""
    differs = f"  ≠ {counted(count, 'difference', 'differences')}" if count else ""
    image = f"  {service['image']}" if width >= 100 else ""
    # No colour: the line that is highlighted has its own.
    return Content(f"{mark} {service['name']:14} {state:20} {since}{differs}{restarts}{image}")


def _about(view: dict[str, Any], service: dict[str, Any] | None) -> list[Content]:
    """Return the lines about a service, all differences (its own first) and the storage."""
    lines = [Content.styled(hinted(problem), "$text-warning") for problem in view["problems"]]
    if service is not None:
        made_ago = tr(", made {ago}", ago=formats.ago(service["image_made"])) if service["image_made"] else ""
        image = f"{service['image']} {service['image_id']}{made_ago}"
        lines.append(Content.assemble((tr("Image    "), "$muted"), image))
        lines.append(Content.assemble((tr("Ports    "), "$muted"), ", ".join(service["ports"]) or tr("none")))
        lines += [Content.assemble((tr("Mount    "), "$muted"), mount) for mount in service["mounts"]]
    name = service["name"] if service else ""
    differences = sorted(view["differences"], key=lambda difference: difference["service"] != name)
    if differences:
        lines.append(Content.styled(tr("Differences"), "bold"))
        lines += map(_difference, differences)
    elif view["services"] and not view["problems"]:
        sentence = nothing_differs(view["project"], every_setting=view["every_setting"])
        lines.append(Content.styled(sentence, "$text-success"))
    storage = _storage(view["storage"])
    return [*lines, Content.styled(tr("Storage"), "bold"), *storage] if storage else lines


def _difference(difference: dict[str, Any]) -> Content:
    # The downtime belongs to the way of putting it right, not to the difference.
    return Content.assemble(
        (f"{difference['service']}: ", "bold"),
        f"{difference['what']}. ",
        (tr("Takes: {takes}; ", takes=difference["takes"]), "$muted"),
        (downtime_text(difference["downtime"]), "$text-warning" if difference["downtime"] == NONE else _ALARM),
        ".",
    )


def _storage(stores: list[dict[str, Any]]) -> list[Content]:
    """Return the problems and the sizes of the persistent directories."""
    lines = []
    for store in stores:
        size = formats.size(store["size"])
        more = "" if store["whole"] else tr("more than ")
        if store["problem"]:
            mend = tr(" To fix: {store}", store=store["mend"]) if store["mend"] else ""
            lines.append(Content.assemble((f"{store['problem']}.", "$text-warning"), (mend, "$muted")))
        if size:
            lines.append(Content.assemble(f"{store['name']} {more}{size}"))
    return lines


class RestartDialog(TypedDialog):
    """Asks for the project's name; its answer are the arguments of the operation. `only` is a service, None for all."""

    verb = tr("Restart")

    def __init__(self, view: dict[str, Any], only: str | None) -> None:
        super().__init__(tr("Restart {only}", only=only) if only else tr("Restart all containers that changed"))
        self._view, self._only = view, only

    def options(self) -> list[Widget]:
        """Return the choice and the field of the name."""
        return [
            Toggle(tr("first move prod-env forward to the live commit"), id="sync"),
            Input(id="confirm", compact=True),
        ]

    def opened(self) -> None:
        """Say what a restart does, and list the differences that it removes."""
        lines: list[Content | str] = [
            tr("Builds the images while the site runs, then exchanges what changed, one container after the other."),
            Content.assemble(
                (tr("The site does not answer while a container that serves it is exchanged, "), _ALARM),
                tr(
                    "some tenths of a second plus the time it takes to start. If the new one does not become "
                    "healthy, the previous one is started again."
                ),
            ),
            "",
        ]
        differences = [each for each in self._view["differences"] if self._only in (None, each["service"])]
        for each in differences:
            downtime = (f"; {downtime_text(each['downtime'])}", "$muted")
            lines.append(Content.assemble((f"{each['service']}: ", "bold"), each["what"], downtime))
        if not differences:
            lines.append(tr("Nothing differs, as far as is known: only what a new build brings is exchanged."))
        self.say(*lines, ready=False)
        project = self._view["project"]
        placeholder = tr('to restart, type "{view}"', view=project)
        self.demand(project, placeholder, tr("To restart, type exactly: {view}", view=project))

    def result(self) -> Result:
        """Return the arguments of the operation."""
        return {"services": [self._only] if self._only else None, "sync": not self.has_unticked("sync")}


class ServiceTail:
    """Follows the output of a service in a thread; when nothing takes its lines, the oldest are dropped."""

    def __init__(self, settings: Settings, service: str) -> None:
        self._settings, self._service = settings, service
        self._lines: deque[str] = deque(maxlen=_MOST_LINES)
        self._closed = threading.Event()
        threading.Thread(target=self._follow, name="service log", daemon=True).start()

    def take(self) -> list[str]:
        """Return the lines that came since the last call."""
        return [self._lines.popleft() for _ in range(len(self._lines))]

    def close(self) -> None:
        """Stop following."""
        self._closed.set()

    def _follow(self) -> None:
        try:
            with service_log(self._settings, self._service, _FIRST_LINES, follow=True, until=self._closed) as batches:
                for batch in batches:
                    self._lines.extend(batch)
            if not self._closed.is_set():
                self._lines.append(tr("(its output ends here)"))
        except (GovmaError, OSError) as error:
            self._lines.extend(str(error).split("\n"))
