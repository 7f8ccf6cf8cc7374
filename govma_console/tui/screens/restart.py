"""The dialog of a restart of containers: what changes, what goes down, and the project's name to be typed."""

from __future__ import annotations

from typing import Any

from textual.content import Content
from textual.widget import Widget
from textual.widgets import Button, Input

from govma_console.tui.screens.dialog import Dialog, Result
from govma_console.tui.widgets.toggle import Toggle
from govma_core.language import tr
from govma_core.services.drift import downtime_text


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
        found = [each for each in self._view["differences"] if self._only in (None, each["service"])]
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
        for each in found:
            lines.append(
                Content.assemble(
                    (f"{each['service']}: ", "bold"), each["what"], (f"; {downtime_text(each['downtime'])}", "$muted")
                )
            )
        if not found:
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
