"""Which versions are kept, and why: a pure function from the facts about a site to one decision for each version."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from govma_core.errors import RefusedError
from govma_core.text.language import counted, tr
from govma_core.versions.marks import Pin

_GOOD_RESULTS = ("", "published")
_MOST_USERS = 2


@dataclass(frozen=True, slots=True)
class Candidate:
    """A version that a prune may remove: when it was created (epoch seconds), and whether html/ and system/ are in it.

    `result` comes from its mark or its manifest ('' without one), `objection` says in a sentence what a mark has
    against it.
    """

    name: str
    created: float
    complete: bool = True
    result: str = ""
    objection: str = ""

    @property
    def good(self) -> bool:
        """True when a rollback could lead to it: it is complete, and no result speaks against it."""
        return self.complete and self.result in _GOOD_RESULTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The versions of a site, and what speaks for keeping each.

    `current` is None when it is not certain which version is live, and `problem` then says why. `before` are versions
    that were live before it, the latest first. `users` and `links` give by version what uses it and what leads to it.
    """

    candidates: Sequence[Candidate]
    current: str | None
    problem: str = ""
    before: Sequence[str] = ()
    pins: Mapping[str, Pin] = field(default_factory=dict)
    users: Mapping[str, Sequence[str]] = field(default_factory=dict)
    links: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Policy:
    """How many good versions are kept, and those younger than how many seconds (0: age keeps none); `now` in epoch."""

    keep: int
    younger: int
    now: float
    age: str = ""
    """`younger` as the operator wrote it, for the reasons."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a version is kept, why, and the bytes that its removal frees once all older removals are done."""

    name: str
    keep: bool
    reasons: tuple[str, ...]
    frees: int = 0

    @property
    def why(self) -> str:
        """Return the reasons in one line."""
        return "; ".join(self.reasons)


def decide(facts: Facts, policy: Policy, freed_by: Callable[[Collection[str]], int]) -> list[Decision]:
    """Decide about each version, the newest first; RefusedError when it is not certain which one is live.

    `freed_by` prices a set of versions. Versions are removed from the oldest to the newest, and each is charged with
    what it adds, so that the prices sum up to that of the whole set.
    """
    if facts.current is None:
        raise RefusedError(
            tr(
                "{problem} Nothing is pruned while it is not certain which version is live.", problem=facts.problem
            ).lstrip()
        )
    newest_first = sorted(facts.candidates, key=lambda version: (version.created, version.name), reverse=True)
    good = [version.name for version in newest_first if version.good and version.created <= policy.now]
    ranks = {name: rank for rank, name in enumerate(good, 1)}
    before = facts.before or _assumed_before(facts.current, good)
    decisions: list[Decision] = []
    removals: list[str] = []
    total = 0
    for version in reversed(newest_first):
        if reasons := _reasons_to_keep(version, facts, before, ranks, policy):
            decisions.append(Decision(version.name, True, reasons))
            continue
        removals.append(version.name)
        earlier, total = total, freed_by(removals)
        decisions.append(Decision(version.name, False, (_reason_to_remove(version, policy),), total - earlier))
    return decisions[::-1]


def _assumed_before(current: str, good: Sequence[str]) -> Sequence[str]:
    """Return the good version next older than the current one: deploy.sh writes no history."""
    older = good[good.index(current) + 1 :] if current in good else good
    return older[:1]


def _reasons_to_keep(
    version: Candidate, facts: Facts, before: Sequence[str], ranks: Mapping[str, int], policy: Policy
) -> tuple[str, ...]:
    name, reasons = version.name, []
    if name == facts.current:
        reasons.append(tr("live"))
    if name in before:
        reasons.append(
            tr("was live before") if facts.before else tr("next to the live one, and no record tells what was")
        )
    if name in facts.pins:
        reasons.append(facts.pins[name].sentence())
    if name in facts.users:
        reasons.append(tr("in use by {some}", some=_first_few(facts.users[name])))
    if name in facts.links:
        reasons.append(tr("a link leads to it: {some}", some=_first_few(facts.links[name])))
    if version.created > policy.now:
        reasons.append(tr("its time lies in the future"))
    elif policy.now - version.created < policy.younger:
        reasons.append(tr("younger than {age}", age=policy.age or f"{policy.younger} s"))
    if ranks.get(name, policy.keep + 1) <= policy.keep:
        reasons.append(tr("good, {ranks} of the last {keep}", ranks=ranks[name], keep=policy.keep))
    return tuple(reasons)


def _reason_to_remove(version: Candidate, policy: Policy) -> str:
    if not version.complete:
        return tr("incomplete: html/ or system/ is missing")
    if not version.good:
        return tr("not good: {why}", why=version.objection or version.result)
    latest = counted(policy.keep, "good version", "good versions")
    if policy.younger and policy.age:
        return tr("older than the latest {versions} and than {age}", versions=latest, age=policy.age)
    return tr("older than the latest {versions}", versions=latest)


def _first_few(items: Sequence[str]) -> str:
    more = len(items) - _MOST_USERS
    return ", ".join(items[:_MOST_USERS]) + (tr(" and {more} more", more=more) if more > 0 else "")
