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
    left: dict[str, list[str]] = field(default_factory=dict)
    account: int = 0
    freed: int = 0

    def sentence(self) -> str:
        """Say it in one line."""
        if not self.names:
            return tr("There is no version to remove.")
        count = counted(len(self.names), "version", "versions")
        spared = tr(" Left alone after all: {spared}.", spared=", ".join(self.spared)) if self.spared else ""
        # Others write meanwhile: only what makes sense is said.
        seen = tr("; the file system has {freed} more free", freed=bytes_text(self.freed)) if self.freed > 0 else ""
        return tr(
            "Removed: {versions}; {account} freed{seen}.{spared}",
            versions=count,
            account=bytes_text(self.account),
            seen=seen,
            spared=spared,
        )


def run(
    context: Context, *, keep: int | None = None, older_than: str | None = None, only: list[str] | None = None
) -> Outcome:
    """Remove all but: what is live, was live before, pinned, in use, the last good ones, and what is young.

    `keep` (how many good ones) and `older_than` (an age such as `30d`) stand in for the settings keep_versions and
    keep_younger. With `only` nothing but these is removed: what somebody confirmed. RefusedError when it is not known
    which version is live.
    """
    reporter = context.reporter
    with reporter.stage("preflight"):
        wanted = policy(context, keep, older_than)
        directory = context.settings.versions_dir
        if directory.is_dir() and (closed := cannot_write("versions_dir", directory)):
            raise PreflightError([closed])
    with reporter.stage("plan") as remark:
        found = make_plan(context, wanted)
        if only is not None:
            found = found.limited(only)
        tell(context, found)
        remark.note(
            tr(
                "{count} of {count2} to remove, {frees}",
                count=len(found.removals),
                count2=len(found.decisions),
                frees=bytes_text(found.frees),
            )
        )
    with reporter.stage("remove") as remark:
        if not found.removals:
            remark.skip(tr("nothing to remove"))
        removed = carry_out(context, found)
    usage.refresh(context)
    return Outcome(removed.sentence(), details=details(found, removed))


def plan(context: Context, *, keep: int | None = None, older_than: str | None = None) -> PrunePlan:
    """Return what a prune would do now; takes no lock and changes no version. Errors as those of run()."""
    return make_plan(context, policy(context, keep, older_than))


def estimate(context: Context) -> int:
    """Return the bytes that a prune with the settings would free; 0 when that is in any doubt."""
    try:
        found = plan(context)
    except (GovmaError, OSError):
        return 0
    return 0 if found.warnings else found.frees


def tell(context: Context, found: PrunePlan) -> None:
    """Say what becomes of each version, and why."""
    for warning in found.warnings:
        context.reporter.warning(warning)
    for decision in found.decisions:
        price = (
            ""
            if decision.keep
            else tr("; frees {frees} ({frees2} bytes)", frees=bytes_text(decision.frees), frees2=decision.frees)
        )
        verdict = tr("keep  ") if decision.keep else tr("remove")
        context.reporter.info(f"{verdict} {decision.name}  {decision.why}{price}")


def carry_out(context: Context, found: PrunePlan) -> Removed:
    """Remove what the plan says, the oldest first; a request to cancel is honoured between two versions.

    GovmaError when none could be removed.
    """
    done = Removed()
    if not found.removals:
        return done
    with safefs.opened_root(context.settings.versions_dir) as fd:
        before = safefs.free_bytes(fd)
        try:
            for count, decision in enumerate(found.removals):
                context.reporter.progress("remove", count, len(found.removals), "versions")
                _note(context, done, decision, _remove(context, decision.name))
        except RunCancelled:
            context.reporter.info(
                tr("Cancelled; {count} of {count2} were removed.", count=len(done.names), count2=len(found.removals))
            )
            raise
        done.account = found.price(done.names)
        done.freed = safefs.free_bytes(fd) - before
    if not done.names:
        (first, why), *_ = done.spared.items()
        raise GovmaError(
            tr(
                "None of {count} versions could be removed. {first}: {why}.",
                count=len(done.spared),
                first=first,
                why=why,
            )
        )
    context.reporter.info(tr("{sentence} ({account} bytes)", sentence=done.sentence(), account=done.account))
    return done


def details(found: PrunePlan, removed: Removed) -> dict[str, Any]:
    """Return the plan and what came of it as JSON holds it."""
    return found.as_dict() | {
        "removed": removed.names,
        "spared": removed.spared,
        "left": removed.left,
        "account": removed.account,
        "freed": removed.freed,
    }


def _remove(context: Context, name: str) -> Removal:
    users = users_now(context, name)
    if users:
        return Removal(name, tr("in use by {users}", users=some(users)))
    return remover(context.versions, context.settings.state_dir).remove(name)


def _note(context: Context, done: Removed, decision: Decision, removal: Removal) -> None:
    name = removal.version
    if removal.spared:
        done.spared[name] = removal.spared
        context.reporter.warning(tr("{name} is left alone: {spared}.", name=name, spared=removal.spared))
        return
    done.names.append(name)
    context.reporter.info(
        tr("removed {name}  {why}; {frees}", name=name, why=decision.why, frees=bytes_text(decision.frees))
    )
    if removal.left:
        done.left[name] = list(removal.left[:20])
        context.reporter.warning(
            tr(
                "Part of {name} could not be removed; it stays under a hidden name, and the next run tries "
                "again: {left}.",
                name=name,
                left=some(removal.left),
            )
        )
