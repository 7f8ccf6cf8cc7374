"""What the history tells: which version was live from when to when; and moments to come, as people write them."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

import pytest

from govma_core.text.times import moment_to_come
from govma_core.versions.history import History, How, Promotion, Result, Span, live_before, spans


def went(at: float, how: How, version: str, previous: str, run: str = "") -> Promotion:
    return Promotion(at, version, previous, how, "ana", run or f"r{at:.0f}")


def times(history: list[Span]) -> list[tuple[str, float, float | None, str]]:
    return [(span.version, span.since, span.until, span.how) for span in history]


def test_each_version_was_live_until_the_next_one_and_the_last_one_still_is() -> None:
    history = spans([went(1, "deploy", "A", ""), went(2, "deploy", "B", "A"), went(3, "rollback", "A", "B")], "A")
    assert times(history) == [("A", 1, 2, "deploy"), ("B", 2, 3, "deploy"), ("A", 3, None, "rollback")]
    assert (history[1].by, history[1].previous, history[1].run) == ("ana", "A", "r2")


def test_a_link_set_by_hand_is_a_time_of_which_only_one_end_is_known() -> None:
    history = spans([went(1, "deploy", "A", "old"), went(5, "deploy", "C", "B")], "D")
    assert times(history) == [
        ("old", 0, 1, ""),
        ("A", 1, 0, "deploy"),
        ("B", 0, 5, ""),
        ("C", 5, 0, "deploy"),
        ("D", 0, None, ""),
    ]
    assert times(spans([went(1, "deploy", "A", "")], None)) == [("A", 1, 0, "deploy")]
    assert times(spans([], "A")) == [("A", 0, None, "")]
    assert spans([], None) == []


def test_results_belong_to_the_last_promotion_of_their_run(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.append(went(1, "deploy", "A", "", "r1"))
    history.note("r1", "served after 0.2 s", 2.0)
    history.append(went(3, "deploy", "B", "A", "r2"))
    history.append(went(4, "revert", "A", "B", "r2"))
    history.note("r2", "live again: served after 0.1 s", 5.0)
    history.note("gone", "of nobody", 6.0)
    with (tmp_path / "history.jsonl").open("a") as file:
        file.write('{"of": 1, "at": 7, "result": "x"}\n{"at": "now", "version": "Z"}\n')
    assert next(entry for entry in history.entries() if isinstance(entry, Result)) == Result(
        "r1", 2.0, "served after 0.2 s"
    )
    assert [promotion.version for promotion in history.read()] == ["A", "B", "A"]
    assert [span.result for span in spans(history.entries(), "A")] == [
        "served after 0.2 s",
        "reverted",
        "live again: served after 0.1 s",
    ]


def test_a_revert_takes_back_what_it_left() -> None:
    steps = [went(1, "deploy", "B", "A"), went(2, "deploy", "C", "B"), went(3, "revert", "B", "C")]
    assert live_before(steps, "B") == ["A"]
    after_a_rollback = [went(1, "deploy", "B", "A"), went(2, "rollback", "A", "B"), went(3, "revert", "B", "A")]
    assert live_before(after_a_rollback, "B") == []


NOW = datetime(2026, 11, 23, 14, 30).timestamp()  # noqa: DTZ001 - local time


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-24T08:00", datetime(2026, 11, 24, 8)),  # noqa: DTZ001
        ("2026-11-24 08:00:30", datetime(2026, 11, 24, 8, 0, 30)),  # noqa: DTZ001
        ("2026-11-24", datetime(2026, 11, 24)),  # noqa: DTZ001
        ("18:30", datetime(2026, 11, 23, 18, 30)),  # noqa: DTZ001
        ("14:30", datetime(2026, 11, 24, 14, 30)),  # noqa: DTZ001
        (" 08:00 ", datetime(2026, 11, 24, 8)),  # noqa: DTZ001
        ("2h", datetime(2026, 11, 23, 16, 30)),  # noqa: DTZ001
    ],
)
def test_a_moment_to_come(text: str, moment: datetime) -> None:
    assert moment_to_come(text, NOW) == moment.timestamp()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("2026-11-23", "has passed"),
        ("2026-11-23T14:30", "has passed"),
        ("0s", "has passed"),
        ("999999999w", "ten years"),
        ("9999-12-31", "ten years"),
        *((odd, "is not a time") for odd in ("", "soon", "25:00", "2026-02-30", "2026-11-24T8", "8:00", "-2h", "٢h")),
    ],
)
def test_a_text_that_is_no_moment_to_come(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        moment_to_come(text, NOW)


def test_the_next_time_of_day_is_found_across_a_change_of_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Lisbon")
    time.tzset()
    try:
        evening = datetime(2026, 10, 24, 20).timestamp()  # noqa: DTZ001 - the clock is put back in this night
        assert moment_to_come("08:00", evening) - evening == 13 * 3600
    finally:
        monkeypatch.undo()
        time.tzset()
