"""The dialogs of hold and release."""

from __future__ import annotations

import time

from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input

from govma_console import formats
from govma_console.tui.dialogs.base import Dialog, Result
from govma_core.text.clean import clean_line
from govma_core.text.language import tr
from govma_core.text.times import moment_to_come
from govma_core.versions.holds import Holds


class HoldDialog(Dialog):
    """Hold all deploys: asks why, and until when."""

    heading = tr("Hold all deploys")
    verb = tr("Hold")

    def __init__(self, holds: Holds) -> None:
        super().__init__()
        self._before = holds.by_hand

    def options(self) -> list[Widget]:
        """Return the fields."""
        return [
            Input(placeholder=tr("reason, shown to anyone who tries to deploy"), id="reason", compact=True),
            Input(
                placeholder=tr("until: 18:30, 2026-11-24, 2026-11-24T08:00, 2h (may be empty)"),
                id="until",
                compact=True,
            ),
        ]

    def opened(self) -> None:
        """Say what a hold does."""
        self._explain()
        self.query_one("#reason").focus()

    def _explain(self) -> None:
        lines: list[Content | str] = []
        if self._before is not None:
            lines.append(Content.styled(clean_line(self._before.sentence()), "$text-warning"))
            lines.append(tr("The new hold takes its place."))
        try:
            until = self._until()
        except ValueError as error:
            self.say(*lines, Content.styled(tr("Until {error}.", error=error), "$text-error"), ready=False)
            return
        end = tr("until {until}", until=formats.moment(until)) if until else tr("until somebody releases them")
        refused = tr("Deploys are refused {end}, whoever starts one; a forced one is recorded.", end=end)
        self.say(*lines, refused, tr("Rollback and promote work as always."))

    def _until(self) -> float:
        text = self.query_one("#until", Input).value.strip()
        return moment_to_come(text, time.time()) if text else 0.0

    def edited(self, field: Input) -> None:
        """Show the end of the hold as it is typed."""
        self._explain()

    def entered(self, field: Input) -> None:
        """Go on to the next field, then to the button."""
        following = self.query_one("#until" if field.id == "reason" else "#do")
        if not following.disabled:
            following.focus()

    def result(self) -> Result:
        """Return the reason, and until when (epoch seconds, 0 for no end)."""
        try:
            return {"reason": self.query_one("#reason", Input).value.strip(), "until": self._until()}
        except ValueError:
            # That moment has passed while the dialog was open.
            return None


class ReleaseDialog(Dialog):
    """End all holds: lists them."""

    heading = tr("Release")

    def __init__(self, holds: Holds) -> None:
        super().__init__()
        self._holds = holds.all

    def opened(self) -> None:
        """List the holds."""
        lines: list[Content | str] = [clean_line(hold.sentence()) for hold in self._holds]
        this_ends = tr("All of these end") if len(self._holds) > 1 else tr("This ends")
        lines += ["", tr("{this_ends}, and deploys go live again.", this_ends=this_ends)]
        if len(self._holds) > 1:
            lines.append(Content.styled(tr("`govma-console release COMMIT` ends one."), "$muted"))
        self.say(*lines)
