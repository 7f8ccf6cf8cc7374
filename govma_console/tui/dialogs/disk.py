"""The dialogs of dedupe, prune and pin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from textual.containers import Horizontal
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Label

from govma_console import formats
from govma_console.tui.dialogs.base import Dialog, Result, TypedDialog
from govma_console.tui.query import Query
from govma_console.version_row import VersionRow
from govma_core.settings import Settings
from govma_core.text.clean import clean_line
from govma_core.text.language import counted, tr


class _Question(Dialog):
    """A dialog whose text is the answer of a Query."""

    what = ""
    """Which question."""
    waiting = ""
    """The text until it is answered."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings
        self._question: Query | None = None

    def opened(self) -> None:
        """Begin to ask."""
        self.ask()

    def ask(self, **arguments: Any) -> None:  # noqa: ANN401 - whatever the question takes
        """Ask the core; ends an earlier question."""
        self._end_question()
        self._question = Query(self._settings, self.what, **arguments)
        self.say(Content.assemble((self.waiting, "$muted")), ready=False)
        self.find_out(self._question.ask, self.answered)

    def answered(self, answer: dict[str, Any]) -> None:
        """Show the answer."""

    def on_unmount(self) -> None:
        """End the question when the dialog is left."""
        self._end_question()

    def _end_question(self) -> None:
        if self._question is not None:
            self._question.give_up()


class DedupeDialog(_Question):
    """Dedupe: shows what a dry run would free."""

    heading = verb = tr("Dedupe")
    what = "dedupe"
    waiting = tr("Comparing the versions (a dry run, nothing is changed) …")

    def answered(self, answer: dict[str, Any]) -> None:
        """Show what would be freed."""
        linked, files = answer["linked"], counted(answer["seen"], "file", "files")
        nothing = tr("Nothing to do: {count} seen, all equal ones are linked.", count=files)
        lines = self._benefit(answer) if linked else [Content(nothing)]
        for reason, skipped in answer["left"].items():
            count = counted(skipped["count"], "file", "files")
            sentence = tr("Left alone, {reason}: {count}", reason=tr(reason), count=count)
            lines.append(Content.assemble((sentence, "$muted")))
        self.say(Content("\n").join(lines), ready=linked > 0)

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


@dataclass(frozen=True, slots=True)
class PruneLine:
    """One version: whether it stays, why, and the bytes that removing it frees."""

    name: str
    keep: bool
    why: str
    frees: int

    def content(self) -> Content:
        """Return it as a line of the dialog."""
        word, style = (tr("keep  "), "$muted") if self.keep else (tr("REMOVE"), "bold $text-error")
        frees = "" if self.keep else tr(", frees {frees}", frees=formats.size(self.frees))
        name = f" {formats.short_name(self.name)}  "
        return Content.assemble((word, style), name, (f"{self.why}{frees}", "$muted"))


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What a prune would do with each version, the newest first; `frees` are the bytes of those that it removes."""

    lines: tuple[PruneLine, ...]
    frees: int
    warnings: tuple[str, ...]

    @property
    def removed(self) -> list[str]:
        """Return the versions that would go."""
        return [line.name for line in self.lines if not line.keep]

    @classmethod
    def read(cls, answer: dict[str, Any]) -> PrunePlan:
        """Read the answer to the question `prune`."""
        lines = [
            PruneLine(
                clean_line(version["name"]),
                version["keep"],
                clean_line("; ".join(version["reasons"])),
                version["frees"],
            )
            for version in answer["versions"]
        ]
        return cls(tuple(lines), answer["frees"], tuple(map(clean_line, answer["warnings"])))


class PruneDialog(_Question, TypedDialog):
    """Prune: lists the versions that go and stay, and why; asks for a word to be typed before any is removed."""

    heading = tr("Prune")
    verb = tr("Remove")
    what = "prune"
    waiting = tr("Finding out which versions to keep …")
    _plan: PrunePlan | None = None
    _keep = 0
    _age = ""

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
            Input(id="confirm", compact=True, disabled=True),
        ]

    def opened(self) -> None:
        """Ask with the settings' policy."""
        self._look()

    def _look(self) -> None:
        self._plan = None
        self._close_word("")
        keep, self._age = self.query_one("#keep", Input).value, self.query_one("#age", Input).value.strip()
        # An empty text is an age, too: none.
        self._keep = int(keep) if keep.isdecimal() else 0
        self.ask(keep=self._keep, older_than=self._age)

    @property
    def word(self) -> str:
        """Return `remove N`; '' while no versions to remove are shown."""
        return tr("remove {count}", count=len(self._plan.removed)) if self._plan and self._plan.removed else ""

    @property
    def advice(self) -> str:
        """Return the sentence for Enter after another word."""
        return tr("To remove them, type exactly: {word}", word=self.word)

    def answered(self, answer: dict[str, Any]) -> None:
        """Show the plan."""
        plan = self._plan = PrunePlan.read(answer)
        count = counted(len(plan.removed), "version", "versions")
        frees = tr("Removes {removed}, frees {frees}", removed=count, frees=formats.size(plan.frees))
        lines = [Content.assemble((frees, "bold $text-error")) if plan.removed else Content(tr("Nothing to remove."))]
        lines += [Content.assemble((warning, "$text-warning")) for warning in plan.warnings]
        lines.append(Content(""))
        lines += [line.content() for line in sorted(plan.lines, key=lambda line: line.keep)]
        self.say(Content("\n").join(lines), ready=False)
        self._close_word(tr('to remove them, type "{word}"', word=self.word) if plan.removed else "")

    def _close_word(self, placeholder: str) -> None:
        """Empty the field of the word; one without a placeholder takes none."""
        field = self.query_one("#confirm", Input)
        field.value, field.placeholder, field.disabled = "", placeholder, not placeholder
        field.display = bool(placeholder)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Have another policy looked at before it can be confirmed."""
        if event.input.id in ("keep", "age"):
            event.stop()
            event.prevent_default()
            if self._plan is not None:
                self._plan = None
                self._close_word("")
                self.say(
                    Content.assemble((tr("Press Enter to see what this policy would remove."), "$muted")), ready=False
                )

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Look at another policy."""
        if event.input.id in ("keep", "age"):
            event.stop()
            event.prevent_default()
            self._look()

    def result(self) -> Result:
        """Return the arguments of the operation: the policy, and the very versions that were shown."""
        if self._plan is None:
            return None
        return {"keep": self._keep, "older_than": self._age, "only": self._plan.removed}


class PinDialog(Dialog):
    """Pin a version (asks why), or unpin it."""

    def __init__(self, row: VersionRow) -> None:
        super().__init__()
        self._row = row
        self.heading = self.verb = tr("Pin") if row.pin is None else tr("Unpin")

    def options(self) -> list[Widget]:
        """Return the field for the reason."""
        return (
            []
            if self._row.pin is not None
            else [Input(placeholder=tr("why (may be empty)"), id="reason", compact=True)]
        )

    def opened(self) -> None:
        """Say what the pin does."""
        name, pin = self._row.name, self._row.pin
        if pin is None:
            self.say(tr("prune will keep {name} until it is unpinned.", name=name), ready=True)
            self.query_one("#reason").focus()
        else:
            self.say(
                tr("{name} is {known}. Without the pin, prune may remove it.", name=name, known=pin.sentence()),
                ready=True,
            )

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take Enter for the button."""
        event.stop()
        self.dismiss(self.result())

    def result(self) -> Result:
        """Return the reason."""
        return {"reason": "" if self._row.pin is not None else self.query_one("#reason", Input).value.strip()}
