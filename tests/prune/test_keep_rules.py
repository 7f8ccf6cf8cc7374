"""Retention: which versions are kept or removed, why, and what each removal frees."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from govma_core.errors import RefusedError
from govma_core.prune.keep_rules import Candidate, Decision, Facts, Policy, decide
from govma_core.versions.manifest import Fingerprint
from govma_core.versions.marks import Pin

NOW = 1_000_000_000.0
DAY = 86_400.0
NAMES = [f"data-build--2001-09-{day:02}-01h46m40s" for day in range(1, 10)]


def price(names: Collection[str]) -> int:
    """Price a set of versions: each frees 10 alone, and 7 more when the next newer one is removed too."""
    return 10 * len(names) + 7 * sum(after in names for name, after in itertools.pairwise(NAMES) if name in names)


def version(day: int, **more: object) -> Candidate:
    """Return a version of the 9 last days; day 9 is today."""
    return dataclasses.replace(Candidate(NAMES[day - 1], NOW - (9 - day) * DAY), **more)  # type: ignore[arg-type]


def facts(*versions: Candidate, **more: object) -> Facts:
    return Facts(candidates=versions, **({"current": versions[-1].name} | more))  # type: ignore[arg-type]


def plan(site: Facts, keep: int = 2, younger: float = 0) -> dict[str, Decision]:
    return {d.name: d for d in decide(site, Policy(keep, int(younger), NOW, f"{younger:.0f}s"), price)}


def days_to_keep(site: Facts, keep: int = 2, younger: float = 0) -> list[int]:
    return sorted(NAMES.index(d.name) + 1 for d in plan(site, keep, younger).values() if d.keep)


EACH = [version(day) for day in range(1, 10)]


def test_the_last_good_ones_are_kept_and_the_live_one_is_among_them() -> None:
    assert days_to_keep(facts(*EACH, before=[NAMES[7]]), keep=3) == [7, 8, 9]


def test_the_live_version_and_the_one_before_it_are_kept_at_any_age() -> None:
    site = facts(*EACH, current=NAMES[2], before=[NAMES[0]])
    assert days_to_keep(site) == [1, 3, 8, 9]
    assert plan(site)[NAMES[2]].why == "live"
    assert plan(site)[NAMES[0]].why == "was live before"


def test_without_a_record_the_next_older_good_one_counts_as_live_before() -> None:
    broken = [version(1), dataclasses.replace(version(2), complete=False), version(3), *EACH[3:]]
    assert days_to_keep(facts(*broken, current=NAMES[2]), keep=1) == [1, 3, 9]
    assert "no record" in plan(facts(*broken, current=NAMES[2]))[NAMES[0]].why


def test_a_pin_a_user_and_a_link_each_keep_a_version_and_are_named() -> None:
    site = facts(
        *EACH,
        before=[NAMES[7]],
        pins={NAMES[0]: Pin(NAMES[0], "ana", "election night")},
        users={NAMES[1]: ["php (pid 1): open file", "a", "b", "c"]},
        links={NAMES[2]: ["staging"]},
    )
    assert days_to_keep(site) == [1, 2, 3, 8, 9]
    decisions = plan(site)
    assert decisions[NAMES[0]].why == "pinned by ana: election night"
    assert decisions[NAMES[1]].why == "in use by php (pid 1): open file, a and 2 more"
    assert decisions[NAMES[2]].why == "a link leads to it: staging"


def test_the_age_counts_to_the_second() -> None:
    site = facts(*EACH, before=[NAMES[7]])
    assert days_to_keep(site, keep=1, younger=3 * DAY) == [7, 8, 9]
    assert days_to_keep(site, keep=1, younger=3 * DAY + 1) == [6, 7, 8, 9]


@pytest.mark.parametrize("bad", [{"complete": False}, {"result": "failed"}, {"result": "rehearsal-failed"}])
def test_a_version_that_is_not_good_does_not_count_among_the_last_good_ones(bad: dict[str, object]) -> None:
    versions = [*EACH[:6], version(7, **bad), version(8, **bad), version(9)]
    site = facts(*versions, before=[NAMES[5]])
    assert days_to_keep(site, keep=3) == [5, 6, 9]
    assert ("incomplete" if "complete" in bad else str(bad["result"])) in plan(site)[NAMES[6]].why


def test_of_versions_that_were_made_from_the_same_the_newest_counts_and_no_other_is_kept() -> None:
    bad, good = Fingerprint("b", "1", "2", "3"), Fingerprint("a", "1", "2", "3")
    prints = {3: good, 5: bad, 6: bad, 7: bad, 8: bad, 9: bad}
    versions = [version(day, fingerprint=prints.get(day)) for day in range(1, 10)]
    site = facts(*versions, before=[NAMES[3]])
    assert days_to_keep(site, keep=3) == [3, 4, 9]
    assert plan(site, keep=3)[NAMES[7]].why == f"made from the same as {NAMES[8]}"
    # What has another reason to stay does so, whatever was made from the same since.
    assert days_to_keep(facts(*versions, current=NAMES[5], pins={NAMES[6]: Pin(NAMES[6])}), keep=1) == [4, 6, 7, 9]


def test_versions_that_never_were_live_push_no_other_out_and_stay_while_they_are_newer_than_the_live_one() -> None:
    versions = [version(day, was_live=day not in (4, 5, 8, 9)) for day in range(1, 10)]
    assert days_to_keep(facts(*versions, before=[NAMES[5]], current=NAMES[6]), keep=3) == [3, 6, 7, 8, 9]
    assert days_to_keep(facts(*versions, before=[NAMES[5]], current=NAMES[6]), keep=1) == [6, 7, 9]
    decisions = plan(facts(*versions, before=[NAMES[5]], current=NAMES[6]), keep=3)
    assert decisions[NAMES[8]].why == "never live so far, and newer than the live one"
    assert decisions[NAMES[4]].why == "never live, and others are newer"


def test_a_version_of_the_future_is_kept_and_does_not_count_among_the_last_good_ones() -> None:
    future = Candidate("data-build--2031-01-01-00h00m00s", NOW + DAY)
    site = facts(*EACH, future, current=NAMES[8], before=[NAMES[7]])
    assert days_to_keep(facts(*EACH, before=[NAMES[7]]), keep=3) == [7, 8, 9]
    decisions = plan(site, keep=3)
    assert decisions[future.name].why == "its time lies in the future"
    assert decisions[NAMES[6]].keep
    assert not decisions[NAMES[5]].keep


def test_versions_are_ordered_by_time_where_the_clock_was_put_back() -> None:
    """Guards the end of summer time: of two versions of that night the later one has the earlier name."""
    first = Candidate("data-build--2001-09-08-02h30m00s", NOW - 3000)
    second = Candidate("data-build--2001-09-08-02h10m00s", NOW - 600)
    site = facts(first, second, current=second.name)
    assert [d.name for d in decide(site, Policy(1, 0, NOW), price)] == [second.name, first.name]


def test_each_removal_is_charged_with_what_it_adds_to_the_older_ones() -> None:
    decisions = plan(facts(*EACH, before=[NAMES[7]]), keep=5)
    assert [decisions[name].frees for name in NAMES[:4]] == [10, 17, 17, 17]
    assert sum(d.frees for d in decisions.values()) == price(NAMES[:4])


def test_no_plan_is_made_while_it_is_unknown_which_version_is_live() -> None:
    with pytest.raises(RefusedError, match=r"current-version is missing.*Nothing is pruned"):
        plan(facts(*EACH, current=None, problem="current-version is missing: nothing is live."))


SOME = st.sets(st.sampled_from(NAMES))


@given(
    current=st.sampled_from([*NAMES, "hotfix"]),
    before=st.lists(st.sampled_from(NAMES), unique=True, max_size=2),
    pinned=SOME,
    used=SOME,
    linked=SOME,
    incomplete=SOME,
    failed=SOME,
    keep=st.integers(1, 12),
    younger=st.integers(0, 10),
)
def test_no_version_with_a_reason_is_removed_and_the_prices_sum_up(
    current: str,
    before: list[str],
    pinned: set[str],
    used: set[str],
    linked: set[str],
    incomplete: set[str],
    failed: set[str],
    keep: int,
    younger: int,
) -> None:
    versions = [
        dataclasses.replace(
            version(day), complete=NAMES[day - 1] not in incomplete, result="failed" if NAMES[day - 1] in failed else ""
        )
        for day in range(1, 10)
    ]
    site = Facts(
        candidates=versions,
        current=current,
        before=before,
        pins={name: Pin(name) for name in pinned},
        users={name: ["php"] for name in used},
        links={name: ["link"] for name in linked},
    )
    decisions = plan(site, keep, younger * DAY)
    good = [name for name in NAMES if name not in incomplete | failed]
    young = NAMES[max(0, 9 - younger) :]
    required = {current, *before, *pinned, *used, *linked, *good[-keep:], *young} - {"hotfix"}
    remaining = {name for name, decision in decisions.items() if decision.keep}
    assert list(decisions) == NAMES[::-1]
    assert required <= remaining
    assert len(remaining - required) <= (0 if before else 1), "only the assumed one before may come on top"
    assert all(decision.reasons for decision in decisions.values())
    removals = [name for name in NAMES if name not in remaining]
    assert sum(decision.frees for decision in decisions.values()) == price(removals)
    assert all(decisions[name].frees == 0 for name in remaining)
