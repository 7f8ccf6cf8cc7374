"""The panel of the containers: what runs, what differs from what is wanted, and the output of one service."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Button, Input, Log, OptionList, Static
from textual.widgets.option_list import Option

from govma_console import formats
from govma_console.tui.dialogs.base import Dialog, Result, Toggle
from govma_console.tui.query import Query
from govma_core.errors import GovmaError
from govma_core.services.drift import NONE, downtime_text, nothing_differs, state_text
from govma_core.settings import Settings
from govma_core.text.language import counted, tr


class RestartDialog(Dialog):
    """Asks for the project's name; gives the arguments of the operation. `only` is a service, None for all."""

    verb = tr("Restart")
    danger = True

    def __init__(self, view: dict[str, Any], only: str | None) -> None:
        super().__init__()
        self._view, self._only = view, only
        self.heading = tr("Restart {only}", only=only) if only else tr("Restart all containers that changed")

    def options(self) -> list[Widget]:
        """Return the choice and the field of the name."""
        return [
            Toggle(tr("first move prod-env forward to the live commit"), id="sync"),
            Input(placeholder=tr('to restart, type "{view}"', view=self._view["project"]), id="confirm", compact=True),
        ]

    def opened(self) -> None:
        """Say what it does."""
        differences = [each for each in self._view["differences"] if self._only in (None, each["service"])]
        lines = [
            Content(
                tr("Builds the images while the site runs, then exchanges what changed, one container after the other.")
            ),
            Content.assemble(
                (tr("The site does not answer while a container that serves it is exchanged, "), "bold $text-error"),
                tr(
                    "some tenths of a second plus the time it takes to start. If the new one does not become "
                    "healthy, the previous one is started again."
                ),
            ),
            Content(""),
        ]
        for each in differences:
            lines.append(
                Content.assemble(
                    (f"{each['service']}: ", "bold"), each["what"], (f"; {downtime_text(each['downtime'])}", "$muted")
                )
            )
        if not differences:
            lines.append(Content(tr("Nothing differs, as far as is known: only what a new build brings is exchanged.")))
        self.say(Content("\n").join(lines), ready=False)

    @property
    def _confirmed(self) -> bool:
        return self.query_one("#confirm", Input).value.strip() == str(self._view["project"])

    def on_input_changed(self, event: Input.Changed) -> None:
        """Make the button available when the name was typed."""
        event.stop()
        self.query_one("#do", Button).disabled = not self._confirmed

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take Enter for the button, when the name was typed."""
        event.stop()
        if self._confirmed:
            self.dismiss(self.result())
        else:
            self.notify(
                tr("To restart, type exactly: {view}", view=self._view["project"]), severity="warning", markup=False
            )

    def result(self) -> Result:
        """Return the arguments of the operation."""
        return {"services": [self._only] if self._only else None, "sync": self.query_one("#sync", Toggle).value}


_KEPT = 2000


class ServiceTail:
    """Follows until it is closed; lines that nobody takes are dropped, the oldest first."""

    def __init__(self, settings: Settings, service: str, lines: int) -> None:
        self._settings, self._service, self._lines = settings, service, lines
        self._held: deque[str] = deque(maxlen=_KEPT)
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def start(self) -> None:
        """Begin to follow."""
        threading.Thread(target=self._follow, name="service log", daemon=True).start()

    def take(self) -> list[str]:
        """Return the lines that came since the last time."""
        with self._lock:
            problems = list(self._held)
            self._held.clear()
        return problems

    def close(self) -> None:
        """Stop following."""
        self._closed.set()

    def _follow(self) -> None:
        from govma_core.services.logs import service_log

        try:
            with service_log(self._settings, self._service, self._lines, follow=True, until=self._closed) as batches:
                for batch in batches:
                    self._keep(batch)
            if not self._closed.is_set():
                self._keep([tr("(its output ends here)")])
        except (GovmaError, OSError) as error:
            self._keep(str(error).split("\n"))

    def _keep(self, lines: list[str]) -> None:
        with self._lock:
            self._held.extend(lines)


_LINES = 40
_KEPT_LINES = 2000
_FLUSH = 0.25
_GOOD = {"running", "healthy"}


class ServicesScreen(ModalScreen[Result]):
    """Looks at the containers, and gives the arguments of a restart when somebody confirmed one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,ctrl+c", "leave", show=False),
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
        self._question: Query | None = None
        self._tail: ServiceTail | None = None
        self._disk = False
        self._chosen = ""

    def compose(self) -> ComposeResult:
        """Make the parts."""
        with Vertical(id="services-panel"):
            yield Static(tr("Services"), id="dialog-title")
            yield OptionList(id="services-list", compact=True)
            with VerticalScroll(id="services-about", can_focus=False):
                yield Static("", id="services-text")
            yield Log(id="services-log", max_lines=_KEPT_LINES, auto_scroll=True)
            yield Static("", id="services-hint", classes="hint")

    def on_mount(self) -> None:
        """Begin to look."""
        self.query_one("#services-log").can_focus = False
        self.query_one("#services-list").focus()
        self.set_interval(_FLUSH, self._take_lines)
        self.action_look()

    def action_look(self) -> None:
        """Look at everything anew, in a process of its own."""
        self._give_up()
        question = self._question = Query(self._settings, "services", lines=_LINES, disk=self._disk)
        app = self.app
        self._hint(tr("checking …"))

        def work() -> None:
            try:
                answer: dict[str, Any] | str = question.ask()
            except (GovmaError, OSError) as error:
                answer = str(error)
            app.call_later(lambda: self._show(question, answer))

        threading.Thread(target=work, name="services", daemon=True).start()

    def action_disk(self) -> None:
        """Measure the persistent directories, too."""
        self._disk = True
        self.action_look()

    def _show(self, question: Query, answer: dict[str, Any] | str) -> None:
        if not (self.is_attached and self.app.is_running) or question is not self._question:
            return
        self._question = None
        if isinstance(answer, str):
            self.query_one("#services-text", Static).update(Content.assemble((answer, "$text-error")))
            self._hint()
            return
        self._view = answer
        services = self.query_one("#services-list", OptionList)
        chosen = self._chosen or next((each["name"] for each in answer["services"]), "")
        services.clear_options()
        services.add_options(Option(_row(each, answer, self.size.width))
                             for each in answer["services"])  # fmt: skip
        services.display = bool(answer["services"])
        names = [each["name"] for each in answer["services"]]
        services.highlighted = names.index(chosen) if chosen in names else 0 if names else None
        title = tr("Services of {found}", found=answer["project"]) if answer["project"] else tr("Services")
        self.query_one("#dialog-title", Static).update(Content.assemble(title, (f"  {answer['directory']}", "$muted")))
        self._about()
        self._hint()

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Show another service."""
        event.stop()
        selected = self._selected
        if selected is not None and selected["name"] != self._chosen:
            self._chosen = selected["name"]
            self._end_tail()
            self._about()
            self._hint()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Follow the output of the service, or stop."""
        event.stop()
        self.action_follow()

    @property
    def _selected(self) -> dict[str, Any] | None:
        at = self.query_one("#services-list", OptionList).highlighted
        services = self._view.get("services", [])
        return services[at] if at is not None and at < len(services) else None

    def _about(self) -> None:
        view, selected = self._view, self._selected
        lines = [Content.assemble((problem, "$text-warning")) for problem in view["problems"]]
        name = selected["name"] if selected else ""
        if selected is not None:
            made_ago = tr(", made {ago}", ago=formats.ago(selected["image_made"])) if selected["image_made"] else ""
            lines.append(
                Content.assemble((tr("Image    "), "$muted"), f"{selected['image']} {selected['image_id']}{made_ago}")
            )
            lines.append(Content.assemble((tr("Ports    "), "$muted"), ", ".join(selected["ports"]) or tr("none")))
            lines += [Content.assemble((tr("Mount    "), "$muted"), mount) for mount in selected["mounts"]]
        ordered = sorted(view["differences"], key=lambda each: each["service"] != name)
        if ordered:
            lines.append(Content.assemble((tr("Differences"), "bold")))
        for each in ordered:
            style = "$text-warning" if each["downtime"] == NONE else "bold $text-error"
            lines.append(
                # What is down meanwhile is said of what it takes, not of the difference.
                Content.assemble(
                    (f"{each['service']}: ", "bold"), f"{each['what']}. ",
                    (tr("Takes: {takes}; ", takes=each["takes"]), "$muted"),
                    (downtime_text(each["downtime"]), style), ".",
                )
            )  # fmt: skip
        if view["services"] and not ordered and not view["problems"]:
            sentence = nothing_differs(view["project"], every_setting=view["every_setting"])
            lines.append(Content.assemble((sentence, "$text-success")))
        stored = _storage(view["storage"])
        lines += [Content.assemble((tr("Storage"), "bold")), *stored] if stored else []
        self.query_one("#services-text", Static).update(Content("\n").join(lines))
        if self._tail is None:
            log = self.query_one("#services-log", Log)
            log.clear()
            log.write_lines(selected["lines"] if selected else [])

    def _hint(self, doing: str = "") -> None:
        following = tr("Enter stop following") if self._tail else tr("Enter follow")
        text = tr(
            "{doing}{following}  u restart it  U all  D disk use  r look again  Esc closes",
            doing=doing + "  " if doing else "",
            following=following,
        )
        self.query_one("#services-hint", Static).update(Content(text))

    def action_follow(self) -> None:
        """Follow the output of the service that is selected, or stop."""
        if self._tail is not None:
            self._end_tail()
        elif self._selected is not None and self._selected["container"]:
            log = self.query_one("#services-log", Log)
            log.clear()
            self._tail = ServiceTail(self._settings, self._selected["name"], _LINES)
            self._tail.start()
        self._hint()

    def _take_lines(self) -> None:
        if self._tail is not None:
            lines = self._tail.take()
            if lines:
                self.query_one("#services-log", Log).write_lines(lines)

    def action_restart(self, every: bool) -> None:
        """Ask whether a restart is meant; that closes the panel."""
        if not self._view.get("project") or not self._view.get("services"):
            self.notify(tr("There is nothing to restart."), severity="warning", markup=False)
            return
        if self._blocked:
            self.notify(self._blocked, title=tr("Restart: not now"), severity="warning", markup=False)
            return
        pass  # self import

        selected = self._selected
        only = None if every or selected is None else selected["name"]

        def answered(result: Result) -> None:
            if result is not None:
                self.dismiss(result)

        self.app.push_screen(RestartDialog(self._view, only), answered)

    def action_scroll_about(self, lines: int) -> None:
        """Scroll what is told of the service."""
        self.query_one("#services-about").scroll_relative(y=lines, animate=False)

    def action_leave(self) -> None:
        """Close."""
        self.dismiss(None)

    def on_unmount(self) -> None:
        """End what is under way."""
        self._give_up()
        self._end_tail()

    def _give_up(self) -> None:
        if self._question is not None:
            self._question.give_up()
            self._question = None

    def _end_tail(self) -> None:
        if self._tail is not None:
            self._tail.close()
            self._tail = None


def _row(service: dict[str, Any], view: dict[str, Any], width: int) -> Content:
    count = sum(each["service"] == service["name"] for each in view["differences"])
    words = state_text(service["state"])
    state = f"{words}, {service['health']}" if service["health"] else words
    mark = "●" if (service["health"] or service["state"]) in _GOOD else "✗"
    since = f"{formats.age(service['started']):>4}" if service["state"] == "running" else "    "
    restarts = f"  {counted(service['restarts'], 'restart', 'restarts')}" if service["restarts"] else ""
    differs = f"  ≠ {counted(count, 'difference', 'differences')}" if count else ""
    image = f"  {service['image']}" if width >= 100 else ""
    # No colour: the line that is highlighted has its own.
    return Content(f"{mark} {service['name']:14} {state:20} {since}{differs}{restarts}{image}")


def _storage(stores: list[dict[str, Any]]) -> list[Content]:
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
