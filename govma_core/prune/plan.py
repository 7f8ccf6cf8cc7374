"""What a prune would do: everything that is known of the versions brought together, and priced."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache
from math import isfinite
from typing import Any

from govma_core.context import Context
from govma_core.disk.usage import Usage, account
from govma_core.engine.containers import container_mounts
from govma_core.errors import EngineError, GovmaError, UsageError
from govma_core.prune.in_use import Uses, in_use, linked, on_paths
from govma_core.prune.retention import Candidate, Decision, Facts, Policy, decide
from govma_core.text.durations import age_seconds
from govma_core.text.language import tr
from govma_core.versions.history import History, live_before
from govma_core.versions.manifest import Manifest, ManifestStore
from govma_core.versions.marks import Mark, MarkStore, PinStore
from govma_core.versions.store import Version, local_epoch

Price = Callable[[Collection[str]], int]


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What becomes of each version (the newest first), and what an operator should know besides.

    `price` gives the bytes that removing any set of the versions frees.
    """

    decisions: tuple[Decision, ...]
    warnings: tuple[str, ...]
    price: Price

    @property
    def removals(self) -> tuple[Decision, ...]:
        """Return those that are removed, in the order of their removal: the oldest first."""
        return tuple(decision for decision in reversed(self.decisions) if not decision.keep)

    @property
    def frees(self) -> int:
        """Return the bytes that all removals free together."""
        return sum(decision.frees for decision in self.decisions)

    def limited(self, confirmed: Collection[str]) -> PrunePlan:
        """Return the plan that removes only what was confirmed: versions that came into it since are kept."""
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
                {
                    "name": decision.name,
                    "keep": decision.keep,
                    "reasons": list(decision.reasons),
                    "frees": decision.frees,
                }
                for decision in self.decisions
            ],
            "frees": self.frees,
            "warnings": list(self.warnings),
        }


def policy(context: Context, keep: int | None, older_than: str | None) -> Policy:
    """Return the policy that the settings and these arguments make; UsageError when an argument makes no sense."""
    count = context.settings.keep_versions if keep is None else keep
    if count < 1:
        raise UsageError(tr("keep {wanted}: at least one good version is kept; name 1 or more.", wanted=count))
    age = context.settings.keep_younger if older_than is None else older_than.strip()
    try:
        return Policy(count, age_seconds(age) if age else 0, context.started, age)
    except ValueError as error:
        raise UsageError(tr("older than: {error}.", error=error)) from None


def make_plan(context: Context, policy: Policy) -> PrunePlan:
    """Look at everything that speaks for keeping a version, and decide; RefusedError when it is unknown what is live.

    Changes nothing. What could not be asked, and what could not be priced, is said among the warnings.
    """
    warnings: list[str] = []
    facts = _facts(context, warnings)

    @cache
    def usage() -> Usage | None:
        try:
            usage = account(context)
        except (GovmaError, OSError) as error:
            warnings.append(tr("How much would be freed is not known: {error}", error=error))
            return None
        if usage.unread:
            warnings.append(
                tr(
                    "{unread} directories cannot be read by this user; what is in them is not counted.",
                    unread=usage.unread,
                )
            )
        return usage

    def price(removed: Collection[str]) -> int:
        sizes = usage() if removed else None
        return sizes.freed_by(removed) if sizes else 0

    decisions = decide(facts, policy, price)
    return PrunePlan(tuple(decisions), tuple(warnings), price)


def users_now(context: Context, name: str) -> list[str]:
    """Return who uses a version at this moment, links that lead to it included."""
    directory = context.settings.versions_dir
    return [*in_use(directory, [name]).get(name, []), *linked(directory, [name]).get(name, [])]


def _facts(context: Context, warnings: list[str]) -> Facts:
    state, directory = context.settings.state_dir, context.settings.versions_dir
    versions, pointer = context.versions.versions(), context.versions.pointer()
    names = [version.name for version in versions]
    manifests, marks = ManifestStore(state), MarkStore(state).read()
    return Facts(
        versions=[_candidate(version, manifests.read(version.name), marks.get(version.name)) for version in versions],
        current=pointer.version,
        problem=pointer.problem,
        before=_before(live_before(History(state).read(), pointer.version), versions, marks),
        pinned=PinStore(state).read(),
        used=_uses(context, names, warnings),
        linked=linked(directory, names),
    )


def _candidate(version: Version, manifest: Manifest | None, mark: Mark | None) -> Candidate:
    # A name tells local time, which a change of the clock or of the time zone makes ambiguous.
    started = manifest.started if manifest else 0.0
    created = started if isfinite(started) and started > 0 else local_epoch(version.local_time)
    if mark is not None:
        return Candidate(version.name, created, version.complete, mark.kind, mark.sentence())
    return Candidate(version.name, created, version.complete, manifest.result if manifest else "")


def _before(trail: list[str], versions: list[Version], marks: Collection[str]) -> list[str]:
    """Return what was live before and is still there, back to the first whole one without a mark: a rollback's aim."""
    there = {version.name: version.complete for version in versions}
    kept_back: list[str] = []
    for name in trail:
        if name in there:
            kept_back.append(name)
            if there[name] and name not in marks:
                break
    return kept_back


def _uses(context: Context, names: list[str], warnings: list[str]) -> Uses:
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
        for name in on_paths(directory, names, container.sources):
            uses.setdefault(name, []).append(tr("the container {name}", name=container.name))
    return uses
