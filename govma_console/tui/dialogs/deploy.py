"""The dialogs of deploy, rollback, promote and cancel: they say what would happen, from the plan of the core."""

from __future__ import annotations

from textual.content import Content
from textual.widget import Widget
from textual.widgets import Button, Checkbox, Input

from govma_console import formats
from govma_console.tui import plans
from govma_console.tui.dialogs.base import Dialog, Result, Toggle
from govma_console.tui.panes.detail import commits
from govma_console.tui.plans import DeployPlan, SwitchPlan
from govma_console.tui.site_state import Snapshot
from govma_console.version_row import VersionRow
from govma_core.errors import RefusedError
from govma_core.runs.store import RunRecord
from govma_core.settings import Settings
from govma_core.text.clean import clean_line
from govma_core.text.language import tr
from govma_core.versions.holds import Hold

_MOST = 200


class DeployDialog(Dialog):
    """Deploy: the pending commits, another ref, rebuild, promote or not."""

    heading = tr("Deploy")
    verb = tr("Deploy")

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings
        self._ref: str | None = None
        self._plan: DeployPlan | None = None

    def options(self) -> list[Widget]:
        """Return the choices."""
        branch = f"{self._settings.remote}/{self._settings.branch}"
        return [
            Input(
                placeholder=tr("branch, tag or commit (Enter); empty: {branch}", branch=branch), id="ref", compact=True
            ),
            Toggle(tr("build the assets even if a cached build could be used"), id="rebuild"),
            Toggle(tr("make it live"), True, id="promote"),
            *_rehearsal(self._settings),
            Toggle(tr("deploy in spite of the hold (this is recorded)"), id="force"),
        ]

    def opened(self) -> None:
        """Fetch and compare."""
        self.query_one("#force").display = False
        self._look()

    def on_checkbox_changed(self, event: Checkbox.Changed) -> None:
        """See whether a held deploy can be started now: when it is forced, or puts nothing live."""
        event.stop()
        self._weigh()

    def _weigh(self) -> None:
        plan = self._plan
        if plan is not None:
            self.query_one("#do", Button).disabled = plan.held is not None and not self._passes(plan.held)

    def _passes(self, hold: Hold) -> bool:
        nothing_live = bool(hold.commit) and not self.query_one("#promote", Toggle).value
        return self.query_one("#force", Toggle).value or nothing_live

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Compare with another ref."""
        event.stop()
        self._ref = event.value.strip() or None
        self._look()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Not what the plan is about any more: Enter looks again."""
        event.stop()
        if (event.value.strip() or None) != self._ref:
            self.forget()
            self.say(Content.assemble((tr("Press Enter to see what this ref would bring."), "$muted")), ready=False)

    def _look(self) -> None:
        self._plan = None
        force = self.query_one("#force", Toggle)
        force.value = force.display = False
        self.say(
            Content.assemble((tr("Fetching from {remote} …", remote=self._settings.remote), "$muted")), ready=False
        )
        ref = self._ref
        self.find_out(lambda: plans.plan_deploy(self._settings, ref), self._show)

    def _show(self, plan: DeployPlan) -> None:
        self._plan = plan
        if self.query_one("#ref").has_focus:
            self.query_one("#leave").focus()
        target = plan.target
        hold_lines = (
            [] if plan.held is None else [Content.assemble((clean_line(plan.held.sentence()), "bold $text-warning"))]
        )
        lines = [
            *hold_lines,
            Content.assemble(
                tr("Builds "), (target.short, "bold $text-accent"), f" {target.subject} ({target.author})"
            ),
            Content.assemble((tr("as fetched at {clock}", clock=formats.clock(plan.fetched)), "$muted")),
            Content.assemble(tr("Live now: "), plan.live or tr("nothing")),
            Content(""),
        ]
        if plan.commits is None:
            why = tr("the checkout does not have its commit") if plan.live_commit else tr("its commit is not recorded")
            why = why if plan.live else tr("nothing is live")
            lines.append(Content(tr("What is pending cannot be listed: {why}.", why=why)))
        elif not plan.commits and not plan.undone:
            lines.append(Content(tr("Nothing is pending: this commit is live. A deploy would build it again.")))
        lines += commits(tr("Brings"), plan.commits or [], _MOST)
        lines += commits(tr("Takes back what is live and not in it,"), plan.undone or [], _MOST)
        if plan.containers:
            lines += [Content(""), Content.assemble((plan.containers, "bold $text-warning"))]
        lines += [Content.assemble((line, "$text-warning")) for line in plans.after_deploy(self._settings)]
        self.say(Content("\n").join(lines), ready=True)
        self.query_one("#force").display = bool(hold_lines)
        self._weigh()

    def result(self) -> Result:
        """Return the arguments of the operation: the very commit that was shown."""
        if self._plan is None:
            return None
        forced = {"force": True} if self.query_one("#force", Toggle).value else {}
        return forced | {
            "commit_shown": self._plan.target.sha,
            "ref": self._ref,
            "rebuild": self.query_one("#rebuild", Toggle).value,
            "promote": self.query_one("#promote", Toggle).value,
            **_rehearse(self),
        }


class SwitchDialog(Dialog):
    """Rollback and promote: from which version to which, what that undoes, whether the target was ever live."""

    def __init__(self, settings: Settings, snapshot: Snapshot, operation: str, target: VersionRow | None) -> None:
        super().__init__()
        self.heading = self.verb = tr("Rollback") if operation == "rollback" else tr("Promote")
        self._settings, self._snapshot, self._target = settings, snapshot, target
        self._operation = operation
        self._plan: SwitchPlan | None = None

    def options(self) -> list[Widget]:
        """Return the choices: a promotion is tried before, a rollback leaves a mark."""
        if self._operation == "promote":
            return _rehearsal(self._settings)
        live = self._snapshot.pointer.version
        if live is None:
            return []
        return [
            Toggle(
                tr("mark {short_name} bad and hold its commit", short_name=formats.short_name(live)), True, id="mark"
            )
        ]

    def opened(self) -> None:
        """Compare the two versions."""
        self.say(Content.assemble((tr("Comparing …"), "$muted")), ready=False)
        self.find_out(self._find, self._show)

    def _find(self) -> SwitchPlan:
        target = self._target or plans.rollback_target(self._settings, self._snapshot)
        if target is None:
            raise RefusedError(
                tr(
                    "There is no version that is known to have been live before this one, is whole and has "
                    "no mark. Select the version to go back to, then press r again."
                )
            )
        return plans.plan_switch(self._settings, self._snapshot, target)

    def _show(self, plan: SwitchPlan) -> None:
        self._plan = plan
        target = plan.target
        lines = [
            Content.assemble((tr("from "), "$muted"), (plan.source or tr("nothing"), "bold")),
            self._about(self._snapshot.current),
            Content.assemble((tr("to   "), "$muted"), (target.name, "bold $text-success")),
            self._about(target),
            Content(""),
        ]
        if plan.last_live:
            lines.append(Content(tr("It was live last {last_live}.", last_live=formats.moment(plan.last_live))))
        elif plan.ever_live:
            lines.append(Content(tr("It was live before; when is not recorded.")))
        else:
            lines.append(Content.assemble((tr("It was never live, as far as is recorded."), "bold $text-warning")))
        if target.mark is not None:
            sentence = tr("It was {sentence}. Making it live removes the mark.", sentence=target.mark.sentence())
            lines.append(Content.assemble((clean_line(sentence), "bold $text-warning")))
        if self._operation == "promote" and self._snapshot.holds.by_hand is not None:
            lines.append(
                Content.assemble(
                    (tr("{hold} A promotion is possible anyway.", hold=self._snapshot.hold), "$text-warning")
                )
            )
        if not target.version.complete:
            lines.append(Content.assemble((tr("It is incomplete, and cannot be made live."), "bold $text-error")))
        lines.append(Content(""))
        if plan.undone is None or plan.added is None:
            lines.append(
                Content.assemble(
                    (tr("What changes is not known: {why_unknown}.", why_unknown=plan.why_unknown), "$text-warning")
                )
            )
        elif not plan.undone and not plan.added:
            lines.append(Content(tr("Both were made from the same commit.")))
        else:
            lines += commits(tr("Undoes"), plan.undone, _MOST)
            lines += commits(tr("Brings"), plan.added, _MOST)
        self.say(Content("\n").join(lines), ready=target.version.complete and not target.is_live)

    @staticmethod
    def _about(row: VersionRow | None) -> Content:
        manifest = row.manifest if row else None
        commit = f"{manifest.commit[:9]} {manifest.subject}" if manifest else tr("(no commit is recorded)")
        return Content.assemble((f"     {commit}", "$muted"))

    def result(self) -> Result:
        """Return the arguments of the operation: the very version that was shown."""
        if self._plan is None:
            return None
        mark_arguments = (
            {"keep_mark": True} if any(not toggle.value for toggle in self.query("#mark").results(Toggle)) else {}
        )
        return mark_arguments | {"version": self._plan.target.name, "live_shown": self._plan.source} | _rehearse(self)


def _rehearsal(settings: Settings) -> list[Widget]:
    """Return the choice to try a version before it goes live, where the settings say how."""
    return [Toggle(tr("test it before the switch"), True, id="rehearse")] if settings.rehearsed else []


def _rehearse(dialog: Dialog) -> dict[str, bool]:
    """Return what was chosen there as an argument: only that it is not to be tried."""
    return {"rehearse": False} if any(not toggle.value for toggle in dialog.query("#rehearse").results(Toggle)) else {}


class CancelDialog(Dialog):
    """Ask a run to stop."""

    heading = tr("Cancel the run")
    verb = tr("Stop the run")
    leave = tr("Let it run")
    danger = True

    def __init__(self, run: RunRecord, stage: str) -> None:
        super().__init__()
        self._run, self._stage = run, stage

    def opened(self) -> None:
        """Say whose run that is."""
        run = self._run
        during = tr(", now in stage {stage}", stage=self._stage) if self._stage else ""
        self.say(
            tr(
                "{operation} {id}, started {created} by {by} ({origin}){during}.\n\nIt is asked to stop "
                "at its next safe point, and cleans up. What is live stays live; once the link is "
                "being switched it can no longer be stopped.",
                operation=run.operation,
                id=run.id,
                created=formats.moment(run.created),
                by=run.by,
                origin=run.origin,
                during=during,
            ),
            ready=True,
        )
