"""The dialogs of deploy, rollback, promote and cancel: they show what would happen before it is started."""

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

_MOST_COMMITS = 200


class DeployDialog(Dialog):
    """Deploy: shows the pending commits, and asks for the ref and the options."""

    heading = tr("Deploy")

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
        """Make the button available where a hold permits it: when the deploy is forced, or makes nothing live."""
        event.stop()
        self._weigh()

    def _weigh(self) -> None:
        hold = self._plan.changes.hold if self._plan else None
        if hold is not None:
            nothing_goes_live = bool(hold.commit) and not self.query_one("#promote", Toggle).value
            is_possible = self.query_one("#force", Toggle).value or nothing_goes_live
            self.query_one("#do", Button).disabled = not is_possible

    def entered(self, field: Input) -> None:
        """Compare with another ref."""
        self._ref = field.value.strip() or None
        self._look()

    def edited(self, field: Input) -> None:
        """Drop the plan, which was for another ref; Enter makes one for this."""
        if (field.value.strip() or None) != self._ref:
            self.forget()
            self.wait(tr("Press Enter to see what this ref would bring."))

    def _look(self) -> None:
        self._plan = None
        force = self.query_one("#force", Toggle)
        force.value = force.display = False
        self.wait(tr("Fetching from {remote} …", remote=self._settings.remote))
        ref = self._ref
        self.find_out(lambda: plans.plan_deploy(self._settings, ref), self._show)

    def _show(self, plan: DeployPlan) -> None:
        if plan.changes.refusal:
            self.show_problem("\n".join(clean_line(line) for line in plan.changes.refusal.splitlines()))
            return
        self._plan = plan
        if self.query_one("#ref").has_focus:
            self.query_one("#leave").focus()
        self.say(*_deploy_lines(plan, self._settings))
        self.query_one("#force").display = plan.changes.hold is not None
        self._weigh()

    def result(self) -> Result:
        """Return the arguments of the operation: the very commit that was shown."""
        if self._plan is None:
            return None
        forced = {} if self.has_unticked("force") else {"force": True}
        return forced | {
            "commit_shown": self._plan.changes.target.sha,
            "ref": self._ref,
            "rebuild": not self.has_unticked("rebuild"),
            "promote": not self.has_unticked("promote"),
            **_rehearse(self),
        }


def _deploy_lines(plan: DeployPlan, settings: Settings) -> list[Content]:
    """Return the text of a plan: what is built, what is live, and the commits between."""
    changes, target = plan.changes, plan.changes.target
    warnings = [changes.hold.sentence()] if changes.hold else []
    warnings += [changes.warning] if changes.warning else []
    lines = [Content.styled(clean_line(sentence), "bold $text-warning") for sentence in warnings]
    lines += [
        Content.assemble(tr("Builds "), (target.short, "bold $text-accent"), f" {target.subject} ({target.author})"),
        Content.styled(tr("as fetched at {clock}", clock=formats.clock(plan.fetched_at)), "$muted"),
        Content.assemble(tr("Live now: "), changes.live or tr("nothing")),
        Content(""),
    ]
    if changes.commits is None:
        why = (
            tr("nothing is live")
            if not changes.live
            else tr("the checkout does not have its commit")
            if changes.live_commit
            else tr("its commit is not recorded")
        )
        lines.append(Content(tr("What is pending cannot be listed: {why}.", why=why)))
    elif not changes.commits and not changes.undone:
        lines.append(Content(_about_same_commit(plan)))
    lines += commits(tr("Brings"), changes.commits or [], _MOST_COMMITS)
    lines += commits(tr("Takes back what is live and not in it,"), changes.undone or [], _MOST_COMMITS)
    if changes.containers:
        lines += [Content(""), Content.styled(changes.containers, "bold $text-warning")]
    return lines + [Content.styled(sentence, "$text-warning") for sentence in plans.after_deploy(settings)]


def _about_same_commit(plan: DeployPlan) -> str:
    if not plan.differences:
        return tr("Nothing is new: this commit is live, made from the same files. A deploy would build it again.")
    parts = ", ".join(plan.differences)
    return tr("This commit is live, made with another {parts}. A deploy would build it again.", parts=parts)


class SwitchDialog(Dialog):
    """Rollback and promote: shows from which version to which, what that undoes, and when the target was live."""

    def __init__(self, settings: Settings, snapshot: Snapshot, operation: str, target: VersionRow | None) -> None:
        super().__init__(tr("Rollback") if operation == "rollback" else tr("Promote"))
        self._settings, self._snapshot, self._target = settings, snapshot, target
        self._operation = operation
        self._plan: SwitchPlan | None = None

    def options(self) -> list[Widget]:
        """Return the choices: the rehearsal of a promotion; of a rollback the mark, and the env file of the target."""
        if self._operation == "promote":
            return _rehearsal(self._settings)
        toggles: list[Widget] = []
        if live := self._snapshot.pointer.version:
            label = tr("mark {short_name} bad and hold its commit", short_name=formats.short_name(live))
            toggles.append(Toggle(label, True, id="mark"))
        return [*toggles, Toggle(tr("put the present env_file into that version before the switch"), id="env")]

    def opened(self) -> None:
        """Compare the two versions."""
        self._show_env_choice(False)
        self.wait(tr("Comparing …"))
        self.find_out(self._make_plan, self._show)

    def _make_plan(self) -> SwitchPlan:
        target = self._target or plans.rollback_target(self._settings, self._snapshot)
        if target is None:
            raise RefusedError(
                "There is no version that is known to have been live before this one, is whole, has no mark and "
                "was made from something else. Select the version to go back to, then press r again."
            )
        return plans.plan_switch(self._settings, self._snapshot, target)

    def _show_env_choice(self, is_shown: bool) -> None:
        for toggle in self.query("#env"):
            toggle.display = is_shown

    def _show(self, plan: SwitchPlan) -> None:
        self._plan = plan
        target = plan.target
        self._show_env_choice(bool(plan.env_difference))
        self.say(
            Content.assemble((tr("from "), "$muted"), (plan.source or tr("nothing"), "bold")),
            self._about(self._snapshot.current),
            Content.assemble((tr("to   "), "$muted"), (target.name, "bold $text-success")),
            self._about(target),
            Content(""),
            _when_live(plan),
            *self._warnings(plan),
            Content(""),
            *_changes(plan),
            ready=target.version.complete and not target.is_live,
        )

    def _warnings(self, plan: SwitchPlan) -> list[Content]:
        lines = []
        target = plan.target
        if self._operation == "rollback":
            prints = [row.manifest.fingerprint for row in (self._snapshot.current, target) if row and row.manifest]
            if len(prints) == 2 and prints[0].matches(prints[1]):
                sentence = tr("It was made from the same as the live one: what is wrong with that stays.")
                lines.append(Content.styled(sentence, "bold $text-warning"))
            if plan.env_difference:
                lines.append(Content.styled(plan.env_difference, "bold $text-warning"))
        if target.mark is not None:
            sentence = tr("It was {sentence}. Making it live removes the mark.", sentence=target.mark.sentence())
            lines.append(Content.styled(clean_line(sentence), "bold $text-warning"))
        if self._operation == "promote" and self._snapshot.holds.by_hand is not None:
            sentence = tr("{hold} A promotion is possible anyway.", hold=self._snapshot.hold)
            lines.append(Content.styled(sentence, "$text-warning"))
        if not target.version.complete:
            lines.append(Content.styled(tr("It is incomplete, and cannot be made live."), "bold $text-error"))
        return lines

    @staticmethod
    def _about(row: VersionRow | None) -> Content:
        manifest = row.manifest if row else None
        commit = f"{manifest.commit[:9]} {manifest.subject}" if manifest else tr("(no commit is recorded)")
        return Content.styled(f"     {commit}", "$muted")

    def result(self) -> Result:
        """Return the arguments of the operation: the very version that was shown."""
        if self._plan is None:
            return None
        arguments = {"keep_mark": True} if self.has_unticked("mark") else {}
        if any(toggle.value for toggle in self.query("#env").results(Toggle)):
            arguments["current_env"] = True
        return arguments | {"version": self._plan.target.name, "live_shown": self._plan.source} | _rehearse(self)


def _when_live(plan: SwitchPlan) -> Content:
    if plan.last_live:
        return Content(tr("It was live last {last_live}.", last_live=formats.moment(plan.last_live)))
    if plan.was_live:
        return Content(tr("It was live before; when is not recorded."))
    return Content.styled(tr("It was never live, as far as is recorded."), "bold $text-warning")


def _changes(plan: SwitchPlan) -> list[Content]:
    if plan.undone is None or plan.added is None:
        sentence = tr("What changes is not known: {why_unknown}.", why_unknown=plan.why_unknown)
        return [Content.styled(sentence, "$text-warning")]
    if not plan.undone and not plan.added:
        return [Content(tr("Both were made from the same commit."))]
    return commits(tr("Undoes"), plan.undone, _MOST_COMMITS) + commits(tr("Brings"), plan.added, _MOST_COMMITS)


def _rehearsal(settings: Settings) -> list[Widget]:
    """Return the choice to rehearse a version before it goes live, where the settings have a rehearsal."""
    return [Toggle(tr("test it before the switch"), True, id="rehearse")] if settings.rehearsed else []


def _rehearse(dialog: Dialog) -> dict[str, bool]:
    """Return that choice as an argument, which is only needed against the rehearsal."""
    return {"rehearse": False} if dialog.has_unticked("rehearse") else {}


class CancelDialog(Dialog):
    """Asks a run to stop: says which one it is, and what cancelling does."""

    heading = tr("Cancel the run")
    verb = tr("Stop the run")
    leave = tr("Let it run")
    danger = True

    def __init__(self, run: RunRecord, stage: str) -> None:
        text = tr(
            "{operation} {id}, started {created} by {by} ({origin}){during}.\n\nIt is asked to stop "
            "at its next safe point, and cleans up. What is live stays live; once the link is "
            "being switched it can no longer be stopped.",
            operation=run.operation,
            id=run.id,
            created=formats.moment(run.created),
            by=run.by,
            origin=run.origin,
            during=tr(", now in stage {stage}", stage=stage) if stage else "",
        )
        super().__init__(text=text)
