"""Steps run beside one another: in their order, as many as may, their lines apart, and none outlives a failure."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable

import pytest

from govma_core.building.parallel_steps import ParallelSteps, Work
from govma_core.errors import BuildError, RunCancelled
from govma_core.events import Event, LogLine, StageFinished, StageStarted
from govma_core.reporting import Cancellation, Reporter, StageRemark
from tests.support.waiting import PATIENCE


class Build:
    """A build whose steps are functions; `ended` has what `end` was called with, in order."""

    def __init__(self, most: int = 2, labels: bool = True) -> None:
        self.events: list[Event] = []
        self.cancellation = Cancellation()
        self.reporter = Reporter(self.events.append, self.cancellation)
        self.works: dict[str, Callable[[Reporter], str] | None] = {}
        self.ended: list[tuple[str, str]] = []
        self.steps = ParallelSteps[str](self.reporter, self._begin, self._end, most=most, labels=labels)

    def _begin(self, name: str, remark: StageRemark) -> Work[str] | None:
        return self.works.get(name)

    def _end(self, name: str, remark: StageRemark, result: str) -> None:
        assert threading.current_thread() is threading.main_thread()
        remark.note(result)
        self.ended.append((name, result))

    def outcomes(self) -> dict[str, str]:
        return {event.stage: event.outcome for event in self.events if isinstance(event, StageFinished)}

    def lines(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, LogLine)]


def says(text: str) -> Callable[[Reporter], str]:
    def work(reporter: Reporter) -> str:
        reporter.output(f"{text} 1", f"{text} 2")
        reporter.info(f"{text} ends")
        return text

    return work


def until(event: threading.Event, then: str = "done") -> Callable[[Reporter], str]:
    """Wait as a builder does: a little at a time, looking for a cancel."""

    def work(reporter: Reporter) -> str:
        while not event.wait(0.02):
            reporter.cancellation.check()
        return then

    return work


def test_a_step_begins_when_all_that_it_comes_after_have_ended() -> None:
    build = Build()
    build.works = {"a": says("a"), "b": says("b"), "c": says("c"), "reused": None}
    build.steps.run({"c": {"a", "b", "reused"}, "reused": set(), "a": set(), "b": {"a"}})
    assert build.ended == [("a", "a"), ("b", "b"), ("c", "c")]
    assert build.lines() == [f"{n}: {n} {what}" for n in "abc" for what in ("1", "2", "ends")]
    assert build.outcomes() == dict.fromkeys(["assets/reused", "assets/a", "assets/b", "assets/c"], "ok")


def test_two_run_at_the_same_time_and_no_more() -> None:
    build = Build(most=2)
    meeting, running, most = threading.Barrier(2), set[str](), [0]

    def work(name: str) -> Callable[[Reporter], str]:
        def both(reporter: Reporter) -> str:
            running.add(name)
            meeting.wait(PATIENCE)
            # Time for a third.
            time.sleep(0.2)
            most[0] = max(most[0], len(running))
            meeting.wait(PATIENCE)
            running.discard(name)
            return name

        return both

    build.works = {name: work(name) for name in "abcd"}
    build.steps.run(dict.fromkeys("abcd", ()))
    assert most == [2]
    assert {name for name, _ in build.ended} == set("abcd")


def test_without_labels_lines_are_as_they_are() -> None:
    build = Build(labels=False)
    build.works = {"a": says("a")}
    build.steps.run({"a": ()})
    assert build.lines() == ["a 1", "a 2", "a ends"]


def test_one_that_fails_ends_the_others() -> None:
    build, never, begun = Build(), threading.Event(), threading.Event()

    def fail(reporter: Reporter) -> str:
        assert begun.wait(PATIENCE)
        raise BuildError("It failed.")

    def wait(reporter: Reporter) -> str:
        begun.set()
        return until(never)(reporter)

    build.works = {"good": says("good"), "bad": fail, "waits": wait, "later": says("later")}
    with pytest.raises(BuildError, match="It failed"):
        build.steps.run({"good": (), "bad": ("good",), "waits": ("good",), "later": ("bad",)})
    assert build.outcomes() == {"assets/good": "ok", "assets/bad": "failed", "assets/waits": "cancelled"}
    assert [thread for thread in threading.enumerate() if thread.name in build.works] == []
    assert "assets/later" not in [event.stage for event in build.events if isinstance(event, StageStarted)]


def test_a_cancel_ends_all_and_waits_for_them() -> None:
    build, never = Build(), threading.Event()
    slow_to_end = threading.Event()

    def slow(reporter: Reporter) -> str:
        try:
            return until(never)(reporter)
        finally:
            time.sleep(0.2)
            slow_to_end.set()

    build.works = {"a": until(never), "b": slow}
    before = signal.signal(signal.SIGALRM, lambda number, frame: build.cancellation.request())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(RunCancelled):
            build.steps.run({"a": (), "b": ()})
    finally:
        signal.signal(signal.SIGALRM, before)
    assert slow_to_end.is_set()
    assert build.outcomes() == {"assets/a": "cancelled", "assets/b": "cancelled"}


def test_a_step_that_prints_without_end_does_not_run_ahead_of_the_log() -> None:
    build, handed = Build(most=1), [0]

    def flood(reporter: Reporter) -> str:
        for number in range(1000):
            handed[0] = number
            reporter.output(str(number))
        return ""

    most_ahead = 0

    def emit(event: Event) -> None:
        nonlocal most_ahead
        if isinstance(event, LogLine):
            time.sleep(0.0005)
            most_ahead = max(most_ahead, handed[0] - int(event.text.removeprefix("a: ")))

    build.reporter._emit = emit
    build.reporter._emit_output = build.reporter._emit_each
    build.works = {"a": flood}
    build.steps.run({"a": ()})
    assert 0 < most_ahead < 100
