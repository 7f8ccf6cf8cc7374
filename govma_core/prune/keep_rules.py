"""Which versions are kept, and why: a pure function from the facts about a site to one decision for each version."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from govma_core.errors import RefusedError
from govma_core.text.language import counted, tr
from govma_core.versions.manifest import Fingerprint
from govma_core.versions.marks import Pin

_GOOD_RESULTS = ("", "published")
_MOST_USERS = 2


@dataclass(frozen=True, slots=True)
class Candidate:
    """A version that a prune may remove: when it was created (epoch seconds), and whether html/ and system/ are in it.

    `result` comes from its mark or its manifest ('' without one), `objection` says in a sentence what a mark has
    against it. `fingerprint` is None where it is not recorded what the version was made from.
    """

    name: str
    created: float
    complete: bool = True
    result: str = ""
    objection: str = ""
    was_live: bool = True
    fingerprint: Fingerprint | None = None

    @property
    def sound(self) -> bool:
        """True when it is complete, and no result speaks against it."""
        return self.complete and self.result in _GOOD_RESULTS

    @property
    def good(self) -> bool:
        """True when a rollback could lead to it: it is sound, and was live."""
        return self.sound and self.was_live

    @property
    def untried(self) -> bool:
        """True when it is sound, and never was live."""
        return self.sound and not self.was_live

    def matches(self, other: Candidate) -> bool:
        """Tell whether both were made from the same; not where that is not recorded of one of them."""
        return bool(self.fingerprint and other.fingerprint and self.fingerprint.matches(other.fingerprint))


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

    Of the good versions those count that were made from something else, the newest of each. Versions that never were
    live do not count; while they are newer than the live one they may still be promoted, and as many of them are kept.

    `freed_by` prices a set of versions. Versions are removed from the oldest to the newest, and each is charged with
    what it adds, so that the prices sum up to that of the whole set.
    """
    if facts.current is None:
        raise RefusedError(
            tr(
                "{problem} Nothing is pruned while it is not certain which version is live.", problem=facts.problem
            ).lstrip()
        )
    newest_first = sorted(facts.candidates, key=_order, reverse=True)
    live = next((version for version in newest_first if version.name == facts.current), None)
    past = [version for version in newest_first if version.created <= policy.now]
    good, copies = _distinct(version for version in past if version.good)
    ranks = {version.name: rank for rank, version in enumerate(good, 1)}
    untried, _ = _distinct(version for version in past if version.untried and not _is_older(version, live))
    untried_names = [version.name for version in untried[: policy.keep]]
    # deploy.sh writes no history.
    older = [version for version in good if live is None or (_is_older(version, live) and not version.matches(live))]
    before = facts.before or [version.name for version in older[:1]]
    decisions: list[Decision] = []
    removals: list[str] = []
    total = 0
    for version in reversed(newest_first):
        if reasons := _reasons_to_keep(version, facts, before, ranks, policy, untried_names):
            decisions.append(Decision(version.name, True, reasons))
            continue
        why = _reason_to_remove(version, policy, copies.get(version.name, ""))
        removals.append(version.name)
        earlier, total = total, freed_by(removals)
        decisions.append(Decision(version.name, False, (why,), total - earlier))
    return decisions[::-1]


def _order(version: Candidate) -> tuple[float, str]:
    return version.created, version.name


def _is_older(version: Candidate, live: Candidate | None) -> bool:
    return live is not None and _order(version) < _order(live)


def _distinct(newest_first: Iterable[Candidate]) -> tuple[list[Candidate], dict[str, str]]:
    """Return the newest of those that were made from the same; for each other one the name of that newest."""
    distinct: list[Candidate] = []
    copies: dict[str, str] = {}
    for version in newest_first:
        twin = next((newer for newer in distinct if version.matches(newer)), None)
        if twin is None:
            distinct.append(version)
        else:
            copies[version.name] = twin.name
    return distinct, copies


def _reasons_to_keep(
    version: Candidate,
    facts: Facts,
    before: Sequence[str],
    ranks: Mapping[str, int],
    policy: Policy,
    untried: Collection[str],
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
    if name in untried:
        reasons.append(tr("never live so far, and newer than the live one"))
    return tuple(reasons)


def _reason_to_remove(version: Candidate, policy: Policy, copy: str) -> str:
    if not version.complete:
        return tr("incomplete: html/ or system/ is missing")
    if not version.sound:
        return tr("not good: {why}", why=version.objection or version.result)
    if not version.was_live:
        return tr("never live, and others are newer")
    if copy:
        return tr("made from the same as {name}", name=copy)
    latest = counted(policy.keep, "good version", "good versions")
    if policy.younger and policy.age:
        return tr("older than the latest {versions} and than {age}", versions=latest, age=policy.age)
    return tr("older than the latest {versions}", versions=latest)


def _first_few(items: Sequence[str]) -> str:
    more = len(items) - _MOST_USERS
    return ", ".join(items[:_MOST_USERS]) + (tr(" and {more} more", more=more) if more > 0 else "")
