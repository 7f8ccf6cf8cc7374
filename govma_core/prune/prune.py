"""Prune: remove the versions that nothing speaks for keeping, and say why for each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from govma_core.context import Context, Outcome
from govma_core.disk import usage
from govma_core.errors import GovmaError, PreflightError, RunCancelled
from govma_core.fs import safefs
from govma_core.fs.permissions import cannot_write
from govma_core.prune.plan import PrunePlan, make_plan, policy, users_now
from govma_core.prune.retention import Decision
from govma_core.text.clean import bytes_text
from govma_core.text.language import counted, tr
from govma_core.versions.remove import Removal, remover, some


@dataclass(slots=True)
class Removed:
    """What a prune did: versions removed, those spared with the reason, those of which something resisted.

    `account` is what the removed ones freed by the account, `freed` by how much free space the file system gained.
    """

    names: list[str] = field(default_factory=list)
    spared: dict[str, str] = field(default_factory=dict)
    resisting: dict[str, list[str]] = field(default_factory=dict)
    account: int = 0
    freed: int = 0

    def sentence(self) -> str:
        """Say it in one line."""
        if not self.names:
            return tr("There is no version to remove.")
        count = counted(len(self.names), "version", "versions")
        spared = tr(" Left alone after all: {spared}.", spared=", ".join(self.spared)) if self.spared else ""
        # Others write meanwhile: only what makes sense is said.
        more_free = (
            tr("; the file system has {freed} more free", freed=bytes_text(self.freed)) if self.freed > 0 else ""
        )
        return tr(
            "Removed: {versions}; {account} freed{seen}.{spared}",
            versions=count,
            account=bytes_text(self.account),
            seen=more_free,
            spared=spared,
        )


def run(
    context: Context, *, keep: int | None = None, older_than: str | None = None, only: list[str] | None = None
) -> Outcome:
    """Remove all but: what is live, was live before, pinned, in use, the last good ones, and what is young.

    `keep` (how many good ones) and `older_than` (an age such as `30d`) stand in for the settings keep_versions and
    keep_younger. With `only` nothing but these is removed: what was confirmed. RefusedError when it is not known
    which version is live.
    """
    reporter = context.reporter
    with reporter.stage("preflight"):
        retention = policy(context, keep, older_than)
        directory = context.settings.versions_dir
        if directory.is_dir() and (refusal := cannot_write("versions_dir", directory)):
            raise PreflightError([refusal])
    with reporter.stage("plan") as remark:
        prune_plan = make_plan(context, retention)
        if only is not None:
            prune_plan = prune_plan.limited(only)
        tell(context, prune_plan)
        remark.note(
            tr(
                "{count} of {count2} to remove, {frees}",
                count=len(prune_plan.removals),
                count2=len(prune_plan.decisions),
                frees=bytes_text(prune_plan.frees),
            )
        )
    with reporter.stage("remove") as remark:
        if not prune_plan.removals:
            remark.skip(tr("nothing to remove"))
        removed = carry_out(context, prune_plan)
    usage.refresh(context)
    return Outcome(removed.sentence(), details=details(prune_plan, removed))


def plan(context: Context, *, keep: int | None = None, older_than: str | None = None) -> PrunePlan:
    """Return what a prune would do now; takes no lock and changes no version. Errors as those of run()."""
    return make_plan(context, policy(context, keep, older_than))


def estimate(context: Context) -> int:
    """Return the bytes that a prune with the settings would free; 0 when that is in any doubt."""
    try:
        prune_plan = plan(context)
    except (GovmaError, OSError):
        return 0
    return 0 if prune_plan.warnings else prune_plan.frees


def tell(context: Context, prune_plan: PrunePlan) -> None:
    """Say what becomes of each version, and why."""
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


def carry_out(context: Context, prune_plan: PrunePlan) -> Removed:
    """Remove what the plan says, the oldest first; a request to cancel is honoured between two versions.

    GovmaError when none could be removed.
    """
    removed = Removed()
    if not prune_plan.removals:
        return removed
    with safefs.opened_root(context.settings.versions_dir) as fd:
        before = safefs.free_bytes(fd)
        try:
            for count, decision in enumerate(prune_plan.removals):
                context.reporter.progress("remove", count, len(prune_plan.removals), "versions")
                _note(context, removed, decision, _remove(context, decision.name))
        except RunCancelled:
            context.reporter.info(
                tr(
                    "Cancelled; {count} of {count2} were removed.",
                    count=len(removed.names),
                    count2=len(prune_plan.removals),
                )
            )
            raise
        removed.account = prune_plan.price(removed.names)
        removed.freed = safefs.free_bytes(fd) - before
    if not removed.names:
        (first, why), *_ = removed.spared.items()
        raise GovmaError(
            tr(
                "None of {count} versions could be removed. {first}: {why}.",
                count=len(removed.spared),
                first=first,
                why=why,
            )
        )
    context.reporter.info(tr("{sentence} ({account} bytes)", sentence=removed.sentence(), account=removed.account))
    return removed


def details(prune_plan: PrunePlan, removed: Removed) -> dict[str, Any]:
    """Return the plan and what came of it as JSON holds it."""
    return prune_plan.as_dict() | {
        "removed": removed.names,
        "spared": removed.spared,
        "left": removed.resisting,
        "account": removed.account,
        "freed": removed.freed,
    }


def _remove(context: Context, name: str) -> Removal:
    users = users_now(context, name)
    if users:
        return Removal(name, tr("in use by {users}", users=some(users)))
    return remover(context.versions, context.settings.state_dir).remove(name)


def _note(context: Context, removed: Removed, decision: Decision, removal: Removal) -> None:
    name = removal.version
    if removal.spared:
        removed.spared[name] = removal.spared
        context.reporter.warning(tr("{name} is left alone: {spared}.", name=name, spared=removal.spared))
        return
    removed.names.append(name)
    context.reporter.info(
        tr("removed {name}  {why}; {frees}", name=name, why=decision.why, frees=bytes_text(decision.frees))
    )
    if removal.resisting:
        removed.resisting[name] = list(removal.resisting[:20])
        context.reporter.warning(
            tr(
                "Part of {name} could not be removed; it stays under a hidden name, and the next run tries "
                "again: {left}.",
                name=name,
                left=some(removal.resisting),
            )
        )
