"""Names of versions, and what the promotion history says about where a rollback leads."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from govma_core.versions.history import History, How, Promotion, live_before
from govma_core.versions.store import version_name, version_time


def test_the_name_is_the_operators() -> None:
    name = version_name(datetime(2021, 9, 3, 0, 3, 29))  # noqa: DTZ001 - local time, as the name tells it
    assert name == "data-build--2021-09-03-00h03m29s"
    assert version_time(name) == datetime(2021, 9, 3, 0, 3, 29)  # noqa: DTZ001


@pytest.mark.parametrize(
    "odd",
    [
        "data-build--2021-09-03-00h03m29s.bak",
        "data-build--2021-9-3-0h3m29s",
        "data-build--2021-13-03-00h03m29s",
        "old",
        "data-build--",
        "",
    ],
)
def test_odd_names_are_no_versions(odd: str) -> None:
    assert version_time(odd) is None


def promotions(*steps: tuple[How, str, str]) -> list[Promotion]:
    return [Promotion(float(at), new, old, how, "ana", "run") for at, (how, new, old) in enumerate(steps)]


def test_before_the_current_version_comes_what_was_live_before_it() -> None:
    steps = promotions(("deploy", "B", "A"), ("deploy", "C", "B"))
    assert live_before(steps, "C") == ["B", "A"]


def test_a_second_rollback_goes_further_back_and_never_to_what_the_first_one_left() -> None:
    steps = promotions(("deploy", "B", "A"), ("deploy", "C", "B"), ("rollback", "B", "C"))
    assert live_before(steps, "B") == ["A"]


def test_a_deploy_after_a_rollback_leads_back_to_where_the_rollback_went() -> None:
    steps = promotions(("deploy", "B", "A"), ("deploy", "C", "B"), ("rollback", "A", "C"), ("deploy", "D", "A"))
    assert live_before(steps, "D") == ["A"]


def test_promoting_a_newer_version_on_purpose_is_taken_back_by_a_rollback() -> None:
    steps = promotions(("deploy", "B", "A"), ("rollback", "A", "B"), ("promote", "B", "A"))
    assert live_before(steps, "B") == ["A"]


def test_a_switch_made_by_hand_counts() -> None:
    steps = promotions(("deploy", "B", "A"))
    assert live_before(steps, "hand-made") == ["B", "A"]


def test_without_history_nothing_is_guessed() -> None:
    assert live_before([], "C") == []


def test_a_line_that_a_crash_cut_short_costs_only_itself(tmp_path: Path) -> None:
    history = History(tmp_path)
    first, second = promotions(("deploy", "A", ""), ("deploy", "B", "A"))
    history.append(first)
    with (tmp_path / "history.jsonl").open("ab") as file:
        file.write(b'{"at": 1, "versi')
    history.append(second)
    assert history.read() == [first, second]
