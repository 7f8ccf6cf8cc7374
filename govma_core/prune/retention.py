"""Which versions are kept, and why: a pure function from the facts to a plan."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from govma_core.errors import RefusedError
from govma_core.text.language import counted, tr
from govma_core.versions.marks import Pin

_GOOD = ("", "published")
_MOST_USERS = 2


@dataclass(frozen=True, slots=True)
class Candidate:
    """A version: when it was made (epoch seconds), whether it is whole, the result in its manifest ('' without one)."""

    name: str
    created: float
    complete: bool = True
    result: str = ""
    why: str = ""
    """What is known against it, in a few words more than its result."""

    @property
    def good(self) -> bool:
        """True when one could go back to it: whole, and nothing is known against it."""
        return self.complete and self.result in _GOOD


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a site: its versions and what speaks for keeping each.

    `current` is None when nothing is known to be live, and `problem` then says why. `before` are versions that were
    live before it, the latest first. `used` and `linked` give by version who uses it and which links lead to it.
    """

    versions: Sequence[Candidate]
    current: str | None
    problem: str = ""
    before: Sequence[str] = ()
    pinned: Mapping[str, Pin] = field(default_factory=dict)
    used: Mapping[str, Sequence[str]] = field(default_factory=dict)
    linked: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Policy:
    """How many good versions are kept, and those younger than how many seconds (0: age keeps none); `now` in epoch."""

    keep: int
    younger: int
    now: float
    age: str = ""
    """`younger` as it was written, for the reasons."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a version, why, and the bytes that removing it frees once those before it are removed."""

    name: str
    keep: bool
    reasons: tuple[str, ...]
    frees: int = 0

    @property
    def why(self) -> str:
        """Return the reasons in one line."""
        return "; ".join(self.reasons)


def decide(facts: Facts, policy: Policy, freed_by: Callable[[Collection[str]], int]) -> list[Decision]:
    """Decide about each version, the newest first; RefusedError when nothing is known to be live.

    `freed_by` prices a set of versions. Removal goes from the oldest to the newest, and each is charged with what it
    adds, so that the prices sum up to that of the whole set.
    """
    if facts.current is None:
        raise RefusedError(
            tr(
                "{problem} Nothing is pruned while it is not certain which version is live.", problem=facts.problem
            ).lstrip()
        )
    order = sorted(facts.versions, key=lambda candidate: (candidate.created, candidate.name), reverse=True)
    good = [candidate.name for candidate in order if candidate.good and candidate.created <= policy.now]
    ranks = {name: rank for rank, name in enumerate(good, 1)}
    before = facts.before or _assumed_before(facts.current, good)
    reasons = {candidate.name: _for_keeping(candidate, facts, before, ranks, policy) for candidate in order}
    prices = _prices([candidate.name for candidate in reversed(order) if not reasons[candidate.name]], freed_by)
    return [
        Decision(
            candidate.name,
            bool(reasons[candidate.name]),
            reasons[candidate.name] or (_for_removing(candidate, policy),),
            prices.get(candidate.name, 0),
        )
        for candidate in order
    ]


def _for_keeping(
    candidate: Candidate, facts: Facts, before: Sequence[str], ranks: Mapping[str, int], policy: Policy
) -> tuple[str, ...]:
    name, reasons = candidate.name, []
    if name == facts.current:
        reasons.append(tr("live"))
    if name in before:
        reasons.append(
            tr("was live before") if facts.before else tr("next to the live one, and no record tells what was")
        )
    if name in facts.pinned:
        reasons.append(facts.pinned[name].sentence())
    if name in facts.used:
        reasons.append(tr("in use by {some}", some=_some(facts.used[name])))
    if name in facts.linked:
        reasons.append(tr("a link leads to it: {some}", some=_some(facts.linked[name])))
    if candidate.created > policy.now:
        reasons.append(tr("its time lies in the future"))
    elif policy.now - candidate.created < policy.younger:
        reasons.append(tr("younger than {age}", age=policy.age or f"{policy.younger} s"))
    if ranks.get(name, policy.keep + 1) <= policy.keep:
        reasons.append(tr("good, {ranks} of the last {keep}", ranks=ranks[name], keep=policy.keep))
    return tuple(reasons)


def _for_removing(candidate: Candidate, policy: Policy) -> str:
    if not candidate.complete:
        return tr("incomplete: html/ or system/ is missing")
    if not candidate.good:
        return tr("not good: {why}", why=candidate.why or candidate.result)
    latest = counted(policy.keep, "good version", "good versions")
    if policy.younger and policy.age:
        return tr("older than the latest {versions} and than {age}", versions=latest, age=policy.age)
    return tr("older than the latest {versions}", versions=latest)


def _assumed_before(current: str, good: Sequence[str]) -> Sequence[str]:
    """Return the good version next older than the current one: deploy.sh writes no history."""
    behind = good[good.index(current) + 1 :] if current in good else good
    return behind[:1]


def _prices(names: Sequence[str], freed_by: Callable[[Collection[str]], int]) -> dict[str, int]:
    prices: dict[str, int] = {}
    total = 0
    for count, name in enumerate(names, 1):
        price = freed_by(names[:count])
        prices[name], total = price - total, price
    return prices


def _some(items: Sequence[str]) -> str:
    more = len(items) - _MOST_USERS
    return ", ".join(items[:_MOST_USERS]) + (tr(" and {more} more", more=more) if more > 0 else "")
