"""Prune: remove the versions that there is no reason to keep, and say why for each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from govma_core.context import Context, Outcome
from govma_core.disk import usage
from govma_core.errors import GovmaError, PreflightError, RunCancelled
from govma_core.fs import safefs
from govma_core.fs.permissions import cannot_write
from govma_core.prune.keep_rules import Decision
from govma_core.prune.plan import PrunePlan, current_users, make_plan, make_policy
from govma_core.text.clean import bytes_text
from govma_core.text.language import counted, tr
from govma_core.versions.remove import Removal, Remover, clear, first_few

_MOST_RECORDED = 20


@dataclass(slots=True)
class Result:
    """What a prune did: the versions removed, those spared with the reason, and what of a removed one is still there.

    `account` are the bytes that the removals free by the account, `freed` those that the file system gained.
    """

    removed: list[str] = field(default_factory=list)
    spared: dict[str, str] = field(default_factory=dict)
    unremovable: dict[str, list[str]] = field(default_factory=dict)
    account: int = 0
    freed: int = 0

    def sentence(self) -> str:
        """Return the result in one line."""
        if not self.removed:
            return tr("There is no version to remove.")
        count = counted(len(self.removed), "version", "versions")
        spared = tr(" Left alone after all: {spared}.", spared=", ".join(self.spared)) if self.spared else ""
        # Others write meanwhile, so that the free space may even have become less.
        gain = tr("; the file system has {freed} more free", freed=bytes_text(self.freed)) if self.freed > 0 else ""
        return tr(
            "Removed: {versions}; {account} freed{seen}.{spared}",
            versions=count,
            account=bytes_text(self.account),
            seen=gain,
            spared=spared,
        )


def run(
    context: Context, *, keep: int | None = None, older_than: str | None = None, only: list[str] | None = None
) -> Outcome:
    """Remove all but: what is live, was live before, pinned, in use, the last good ones, and what is young.

    `keep` (how many good ones) and `older_than` (an age such as `30d`) stand in for the settings keep_versions and
    keep_younger. With `only` nothing but these versions is removed: the plan that the operator confirmed. RefusedError
    when it is not known which version is live.
    """
    reporter = context.reporter
    with reporter.stage("preflight"):
        policy = make_policy(context, keep, older_than)
        directory = context.settings.versions_dir
        if directory.is_dir() and (problem := cannot_write("versions_dir", directory)):
            raise PreflightError([problem])
        clear(context.versions, context.settings.state_dir, reporter)
    with reporter.stage("plan") as remark:
        prune_plan = make_plan(context, policy)
        if only is not None:
            prune_plan = prune_plan.limit_to(only)
        report_plan(context, prune_plan)
        remark.note(
            "{count} of {count2} to remove, {frees}",
            count=len(prune_plan.removals),
            count2=len(prune_plan.decisions),
            frees=bytes_text(prune_plan.frees),
        )
    with reporter.stage("remove") as remark:
        if not prune_plan.removals:
            remark.skip("nothing to remove")
        result = carry_out(context, prune_plan)
    usage.refresh(context)
    return Outcome(result.sentence(), details=details(prune_plan, result))


def plan(context: Context, *, keep: int | None = None, older_than: str | None = None) -> PrunePlan:
    """Return what a prune would do now; takes no lock and changes no version. Errors as those of run()."""
    return make_plan(context, make_policy(context, keep, older_than))


def estimate(context: Context) -> int:
    """Return the bytes that a prune with the settings would free; 0 when that is in any doubt."""
    try:
        prune_plan = plan(context)
    except (GovmaError, OSError):
        return 0
    return 0 if prune_plan.warnings else prune_plan.frees


def report_plan(context: Context, prune_plan: PrunePlan) -> None:
    """Log the decision about each version with its reasons, after the warnings."""
    for warning in prune_plan.warnings:
        context.reporter.warning(warning)
    for decision in prune_plan.decisions:
        price = (
            ""
            if decision.keep
            else tr("; frees {frees} ({frees2} bytes)", frees=bytes_text(decision.frees), frees2=decision.frees)
        )
        verdict = tr("keep  ") if decision.keep else tr("remove")
        context.reporter.info(f"{verdict} {decision.name}  {decision.why}{price}")


def carry_out(context: Context, prune_plan: PrunePlan) -> Result:
    """Remove what the plan says, the oldest first; a request to cancel is honoured between two versions.

    GovmaError when none could be removed.
    """
    result = Result()
    removals = prune_plan.removals
    if not removals:
        return result
    with safefs.opened_root(context.settings.versions_dir) as fd:
        free_before = safefs.free_bytes(fd)
        try:
            for count, decision in enumerate(removals):
                context.reporter.progress("remove", count, len(removals), "versions")
                _remove(context, decision, result)
        except RunCancelled:
            context.reporter.info(
                "Cancelled; {count} of {count2} were removed.", count=len(result.removed), count2=len(removals)
            )
            raise
        result.account = prune_plan.price(result.removed)
        result.freed = safefs.free_bytes(fd) - free_before
    if not result.removed:
        (first, why), *_ = result.spared.items()
        raise GovmaError(
            "None of {count} versions could be removed. {first}: {why}.",
            count=len(result.spared),
            first=first,
            why=why,
        )
    context.reporter.info("{sentence} ({account} bytes)", sentence=result.sentence(), account=result.account)
    return result


def _remove(context: Context, decision: Decision, result: Result) -> None:
    """Remove one version, unless something has come to use it since the plan; add what came of it to the result."""
    name = decision.name
    if users := current_users(context, name):
        removal = Removal(name, tr("in use by {users}", users=first_few(users)))
    else:
        removal = Remover(context.versions, context.settings.state_dir).remove(name)
    if removal.spared:
        result.spared[name] = removal.spared
        context.reporter.warning("{name} is left alone: {spared}.", name=name, spared=removal.spared)
        return
    result.removed.append(name)
    context.reporter.info(
        "removed {name}  {why}; {frees}", name=name, why=decision.why, frees=bytes_text(decision.frees)
    )
    if removal.unremovable:
        result.unremovable[name] = list(removal.unremovable[:_MOST_RECORDED])
        context.reporter.warning(
            "Part of {name} could not be removed; it stays under a hidden name, and the next run tries again: {left}.",
            name=name,
            left=first_few(removal.unremovable),
        )


def details(prune_plan: PrunePlan, result: Result) -> dict[str, Any]:
    """Return the plan and what came of it as JSON holds it."""
    return prune_plan.as_dict() | {
        "removed": result.removed,
        "spared": result.spared,
        "left": result.unremovable,
        "account": result.account,
        "freed": result.freed,
    }
