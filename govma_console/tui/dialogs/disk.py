"""The dialogs of dedupe and prune."""

from __future__ import annotations

from typing import Any

from textual.containers import Horizontal
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Label

from govma_console import formats
from govma_console.tui.dialogs.base import Dialog, Result, TypedDialog
from govma_console.tui.query import Query
from govma_core.settings import Settings
from govma_core.text.clean import clean_line
from govma_core.text.language import counted, tr


class DedupeDialog(Dialog):
    """Dedupe: shows what a dry run would free."""

    heading = tr("Dedupe")

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings

    def opened(self) -> None:
        """Begin the dry run."""
        self.wait(tr("Comparing the versions (a dry run, nothing is changed) …"))
        self.ask(Query(self._settings, "dedupe"), self._show)

    def _show(self, answer: dict[str, Any]) -> None:
        """Show what would be freed."""
        linked, files = answer["linked"], counted(answer["seen"], "file", "files")
        nothing = tr("Nothing to do: {count} seen, all equal ones are linked.", count=files)
        lines = self._benefit(answer) if linked else [Content(nothing)]
        for reason, skipped in answer["left"].items():
            count = counted(skipped["count"], "file", "files")
            lines.append(Content.styled(tr("Left alone, {reason}: {count}", reason=tr(reason), count=count), "$muted"))
        self.say(*lines, ready=linked > 0)

    def _benefit(self, answer: dict[str, Any]) -> list[Content]:
        freed, count = answer["freed"], counted(answer["linked"], "file", "files")
        shares_blocks = self._settings.reflink != "never"
        reflink = tr("Where the file system can, their blocks are shared instead (reflink): inodes stay as they are.")
        live = tr("Files of the live version are not replaced; what the CMS writes in place stays single in it.")
        return [
            Content.assemble(
                tr("Would free "),
                (formats.size(freed), "bold $text-success"),
                tr(" ({freed:,} bytes) by hard-linking", freed=freed),
            ),
            Content(tr("{count} of {answer:,} that are equal in other versions.", count=count, answer=answer["seen"])),
            Content(""),
            *([Content(reflink)] if shares_blocks else []),
            Content(live),
        ]


class PruneDialog(TypedDialog):
    """Prune: lists the versions that go and stay, and why; asks for a word to be typed before any is removed."""

    heading = tr("Prune")
    verb = tr("Remove")

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings
        self._arguments: Result = None
        """The policy, and the very versions that are shown; None while none are."""

    def options(self) -> list[Widget]:
        """Return the fields of the policy and of the word."""
        young = self._settings.keep_younger
        return [
            Horizontal(
                Label(tr("keep the last")),
                Input(str(self._settings.keep_versions), id="keep", type="integer", compact=True),
                Label(tr("good ones, and those younger than")),
                Input(young, placeholder=tr("e.g. 30d"), id="age", compact=True),
                id="policy",
            ),
            Input(id="confirm", compact=True),
        ]

    def opened(self) -> None:
        """Ask what the policy in the fields would remove."""
        self._drop(tr("Finding out which versions to keep …"))
        keep = self.query_one("#keep", Input).value
        # An empty text is an age, too: none.
        policy = {
            "keep": int(keep) if keep.isdecimal() else 0,
            "older_than": self.query_one("#age", Input).value.strip(),
        }
        self.ask(Query(self._settings, "prune", **policy), lambda answer: self._show(policy, answer))

    def _drop(self, why: str) -> None:
        """Take the plan away that is shown, so that it cannot be confirmed."""
        self._arguments = None
        self.demand("")
        self.wait(why)

    def _show(self, policy: dict[str, Any], plan: dict[str, Any]) -> None:
        versions = plan["versions"]
        removals = [version["name"] for version in versions if not version["keep"]]
        self._arguments = policy | {"only": removals}
        count = counted(len(removals), "version", "versions")
        removes = tr("Removes {removed}, frees {frees}", removed=count, frees=formats.size(plan["frees"]))
        self.say(
            Content.styled(removes, "bold $text-error") if removals else tr("Nothing to remove."),
            *(Content.styled(clean_line(warning), "$text-warning") for warning in plan["warnings"]),
            "",
            *(_line(version) for version in sorted(versions, key=lambda version: bool(version["keep"]))),
            ready=False,
        )
        if removals:
            word = tr("remove {count}", count=len(removals))
            placeholder = tr('to remove them, type "{word}"', word=word)
            self.demand(word, placeholder, tr("To remove them, type exactly: {word}", word=word))

    def edited(self, field: Input) -> None:
        """Have another policy looked at before it can be confirmed."""
        if field.id == "confirm":
            super().edited(field)
        elif self._arguments is not None:
            self._drop(tr("Press Enter to see what this policy would remove."))

    def entered(self, field: Input) -> None:
        """Look at another policy, or remove."""
        if field.id == "confirm":
            super().entered(field)
        else:
            self.opened()

    def result(self) -> Result:
        """Return the arguments of the operation."""
        return self._arguments


def _line(version: dict[str, Any]) -> Content:
    """Return a version of the plan as a line."""
    name, why = formats.short_name(clean_line(version["name"])), clean_line("; ".join(version["reasons"]))
    if version["keep"]:
        return Content.assemble((tr("keep  "), "$muted"), f" {name}  ", (why, "$muted"))
    frees = tr(", frees {frees}", frees=formats.size(version["frees"]))
    return Content.assemble((tr("REMOVE"), "bold $text-error"), f" {name}  ", (f"{why}{frees}", "$muted"))
