"""The plan of a prune: collect what is known about each version, decide, and price the removals."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cache
from math import isfinite
from typing import Any

from govma_core.context import Context
from govma_core.disk.usage import Usage, account
from govma_core.engine.containers import container_mounts
from govma_core.errors import EngineError, GovmaError, UsageError
from govma_core.prune.in_use import Uses, in_use, links_to_versions, versions_on_paths
from govma_core.prune.keep_rules import Candidate, Decision, Facts, Policy, decide
from govma_core.text.language import tr
from govma_core.text.times import age_seconds
from govma_core.versions.history import History, Promotion, live_before, rollback_target
from govma_core.versions.manifest import Manifest, ManifestStore
from govma_core.versions.marks import Mark, MarkStore, PinStore
from govma_core.versions.store import Version, local_epoch


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """A decision for each version (the newest first), and warnings for the operator.

    `price` gives the bytes that removing any set of the versions frees.
    """

    decisions: tuple[Decision, ...]
    warnings: tuple[str, ...]
    price: Callable[[Collection[str]], int]

    @property
    def removals(self) -> tuple[Decision, ...]:
        """Return the decisions to remove, in the order of removal: the oldest first."""
        return tuple(decision for decision in reversed(self.decisions) if not decision.keep)

    @property
    def frees(self) -> int:
        """Return the bytes that all removals free together."""
        return sum(decision.frees for decision in self.decisions)

    def limit_to(self, confirmed: Collection[str]) -> PrunePlan:
        """Return the plan without the removals that the operator did not confirm."""
        decisions = [
            decision
            if decision.keep or decision.name in confirmed
            else dataclasses.replace(decision, keep=True, frees=0, reasons=(tr("it was not in the confirmed plan"),))
            for decision in self.decisions
        ]
        return dataclasses.replace(self, decisions=tuple(decisions))

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as JSON holds it."""
        return {
            "versions": [
                dataclasses.asdict(decision) | {"reasons": list(decision.reasons)} for decision in self.decisions
            ],
            "frees": self.frees,
            "warnings": list(self.warnings),
        }


def make_policy(context: Context, keep: int | None, older_than: str | None) -> Policy:
    """Return the policy of the settings, or of these arguments in their place; UsageError for one that is invalid."""
    count = context.settings.keep_versions if keep is None else keep
    if count < 1:
        raise UsageError("keep {wanted}: at least one good version is kept; name 1 or more.", wanted=count)
    age = context.settings.keep_younger if older_than is None else older_than.strip()
    try:
        return Policy(count, age_seconds(age) if age else 0, context.started, age)
    except ValueError as error:
        raise UsageError("older than: {error}.", error=error) from None


def make_plan(context: Context, policy: Policy) -> PrunePlan:
    """Collect what speaks for keeping each version, and decide; RefusedError when it is unknown which one is live.

    Changes nothing. An engine that does not answer, and sizes that cannot be measured, become warnings.
    """
    warnings: list[str] = []
    facts = _collect(context, warnings)

    @cache
    def usage() -> Usage | None:
        """Return the account of all versions, which takes seconds: only when there is something to price."""
        try:
            sizes = account(context)
        except (GovmaError, OSError) as error:
            warnings.append(tr("How much would be freed is not known: {error}", error=error))
            return None
        if sizes.unread:
            warnings.append(
                tr(
                    "{unread} directories cannot be read by this user; what is in them is not counted.",
                    unread=sizes.unread,
                )
            )
        return sizes

    def price(names: Collection[str]) -> int:
        sizes = usage() if names else None
        return sizes.freed_by(names) if sizes else 0

    decisions = decide(facts, policy, price)
    return PrunePlan(tuple(decisions), tuple(warnings), price)


def current_users(context: Context, name: str) -> list[str]:
    """Return what uses a version at this moment: processes, mounts, and links that lead to it."""
    directory = context.settings.versions_dir
    return [*in_use(directory, [name]).get(name, []), *links_to_versions(directory, [name]).get(name, [])]


def _collect(context: Context, warnings: list[str]) -> Facts:
    state, directory = context.settings.state_dir, context.settings.versions_dir
    versions, pointer = context.versions.versions(), context.versions.pointer()
    names = [version.name for version in versions]
    manifests, marks = ManifestStore(state), MarkStore(state).read()
    promotions = History(state).read()
    trail = live_before(promotions, pointer.version)
    were_live = _were_live(promotions, names, pointer.version)
    twins = manifests.twins(pointer.version, trail)
    return Facts(
        candidates=[
            _candidate(version, manifests.read(version.name), marks.get(version.name), version.name in were_live)
            for version in versions
        ],
        current=pointer.version,
        problem=pointer.problem,
        before=_rollback_trail([name for name in trail if name not in twins], versions, marks),
        pins=PinStore(state).read(),
        users=_users(context, names, warnings),
        links=links_to_versions(directory, names),
    )


def _were_live(promotions: Sequence[Promotion], names: Sequence[str], current: str | None) -> set[str]:
    """Return the versions of which the history tells; without one those that are not newer than the current one."""
    if not promotions:
        return {name for name in names if current is not None and name <= current}
    return {name for promotion in promotions for name in (promotion.version, promotion.previous)} | {current or ""}


def _candidate(version: Version, manifest: Manifest | None, mark: Mark | None, was_live: bool) -> Candidate:
    # A name tells local time, which a change of the clock or of the time zone makes ambiguous.
    started = manifest.started if manifest else 0.0
    created = started if isfinite(started) and started > 0 else local_epoch(version.local_time)
    result = mark.kind if mark else manifest.result if manifest else ""
    return Candidate(
        version.name,
        created,
        version.complete,
        result,
        mark.sentence() if mark else "",
        # One without a manifest is deploy.sh's, which makes live whatever it makes.
        was_live or manifest is None,
        manifest.fingerprint if manifest else None,
    )


def _rollback_trail(trail: Sequence[str], versions: Sequence[Version], marks: Collection[str]) -> list[str]:
    """Cut the trail of former live versions, as far as they exist, behind the first one that a rollback can lead to."""
    names = {version.name for version in versions}
    existing = [name for name in trail if name in names]
    target = rollback_target(existing, versions, marks)
    return existing[: existing.index(target.name) + 1] if target else existing


def _users(context: Context, names: list[str], warnings: list[str]) -> Uses:
    directory = context.settings.versions_dir
    uses = in_use(directory, names)
    try:
        containers = container_mounts()
    except EngineError as error:
        warnings.append(
            tr(
                "Which containers use a version could only be seen from their processes and mounts: {error}",
                error=error,
            )
        )
        return uses
    for container in containers:
        for name in versions_on_paths(directory, names, container.sources):
            uses.setdefault(name, []).append(tr("the container {name}", name=container.name))
    return uses
