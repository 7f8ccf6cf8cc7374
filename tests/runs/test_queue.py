"""Requests that meet a run that is going: who waits, who shares, who is sent away; and the order of turns."""

from __future__ import annotations

import dataclasses
import shutil
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from govma_core.errors import BusyError, GovmaError, RunCancelled, UsageError
from govma_core.events import Event, LogLine
from govma_core.process.proc import ProcessId
from govma_core.reporting import Cancellation, Reporter
from govma_core.runs.launch import Requester, prepare_store
from govma_core.runs.lock import Holder, hold_lock, turn
from govma_core.runs.queue import Admission, QueueFullError, admit
from govma_core.runs.store import RunRecord, RunStore, State
from govma_core.runs.totals import Totals
from govma_core.settings import Settings, load, to_plain
from tests.support.waiting import PATIENCE, wait_for

DEPLOY = {"ref": None}


class Queue:
    """Requests to one state directory."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = prepare_store(settings)

    def ask(
        self, operation: str = "deploy", *, policy: str = "coalesce", most: int = 5, key: str = "", **arguments: object
    ) -> Admission:
        return admit(
            self.store,
            self.settings,
            operation,
            DEPLOY | arguments,
            Requester("ana", "test"),
            policy=policy,
            most_waiting=most,
            key=key,
        )

    def becomes(self, record: RunRecord, state: State) -> None:
        """Write a record down as a live runner of ours would."""
        me = ProcessId.current()
        self.store.write(_replaced(record, state=state, pid=me.pid, pid_started=me.started, boot=me.boot, finished=1.0))


def _replaced(record: RunRecord, **changes: object) -> RunRecord:
    return dataclasses.replace(record, **changes)  # type: ignore[arg-type]


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    return Queue(load({}, flags={"state_dir": str(tmp_path / "state")}).settings)


def test_the_first_request_gets_a_run_that_waits_for_nobody(queue: Queue) -> None:
    admission = queue.ask()
    assert admission.fresh
    assert admission.behind is None
    assert admission.record.queued


def test_many_requests_make_two_runs_the_one_that_goes_and_the_one_that_all_others_share(queue: Queue) -> None:
    first = queue.ask()
    others = [queue.ask() for _ in range(50)]
    assert len({each.record.id for each in others}) == 1
    assert [each.fresh for each in others].count(True) == 1
    assert {each.behind.id for each in others if each.behind} == {first.record.id}
    assert len(queue.store.ids()) == 2


def test_nobody_shares_a_run_that_has_begun_before_the_request(queue: Queue) -> None:
    first, second = queue.ask(), queue.ask()
    queue.becomes(first.record, "ok")
    queue.becomes(second.record, "running")
    third = queue.ask()
    assert third.fresh
    assert third.behind is not None
    assert third.behind.id == second.record.id


def test_a_run_that_waits_is_not_shared_by_who_asks_for_something_else(queue: Queue) -> None:
    queue.ask()
    waiting = queue.ask()
    other = queue.ask(ref="v1")
    assert other.fresh
    assert other.record.id != waiting.record.id
    assert queue.ask().record.id == waiting.record.id


def test_a_queued_run_behind_one_that_was_started_by_hand_is_shared(queue: Queue) -> None:
    waiting = queue.ask()
    by_hand = queue.store.create("deploy", {}, "root", "cli")
    queue.becomes(by_hand, "running")
    queue.becomes(waiting.record, "waiting")
    assert queue.ask().record.id == waiting.record.id


def test_a_run_that_was_started_by_hand_or_with_other_settings_is_not_shared(queue: Queue) -> None:
    """Guards a request from a run that is refused when its turn does not come at once, and from another branch."""
    for _ in range(2):
        queue.store.create("deploy", DEPLOY, "root", "cli", settings=to_plain(queue.settings))
    first = queue.ask()
    assert first.fresh
    queue.settings = dataclasses.replace(queue.settings, branch="another")
    second = queue.ask()
    assert second.fresh
    assert second.behind is not None
    assert second.behind.id == first.record.id
    assert queue.ask("prune").fresh
    assert queue.ask().record.id == second.record.id


def test_who_shares_a_run_gets_it_again_by_the_own_key_only(queue: Queue) -> None:
    queue.ask()
    waiting = queue.ask(key="one").record
    assert [queue.ask(key=key).record.id for key in ("two", "three", "two", "one")] == [waiting.id] * 4
    queue.becomes(waiting, "failed")
    assert [queue.ask(key=key).record.id for key in ("two", "three", "one")] == [waiting.id] * 3
    assert queue.ask(key="four").record.id != waiting.id
    with pytest.raises(UsageError, match=waiting.id):
        queue.ask("prune", key="two")


def test_a_key_may_ask_for_another_run_where_the_first_one_failed(queue: Queue) -> None:
    """Guards a webhook that is delivered once more, whose deploy failed or was killed before; not one that is going."""
    first = queue.ask(key="k").record

    def retry() -> str:
        return admit(
            queue.store,
            queue.settings,
            "deploy",
            DEPLOY,
            Requester("ana", "test"),
            policy="each",
            most_waiting=5,
            key="k",
            retry_failed=True,
        ).record.id

    assert retry() == first.id
    queue.store.write(_replaced(first, state="ok", exit_code=0))
    assert retry() == first.id
    queue.store.write(_replaced(first, state="failed", exit_code=1))
    second = retry()
    assert second != first.id
    queue.store.write(_replaced(queue.store.read(second), state="interrupted", exit_code=1))
    assert retry() not in (first.id, second)


def test_each_gives_every_request_a_run_of_its_own_up_to_the_limit(queue: Queue) -> None:
    admissions = [queue.ask(policy="each", most=3) for _ in range(4)]
    assert len({each.record.id for each in admissions}) == 4
    assert [each.behind.id if each.behind else None for each in admissions] == [
        None,
        *(each.record.id for each in admissions[:3]),
    ]
    with pytest.raises(QueueFullError, match="3 runs wait already"):
        queue.ask(policy="each", most=3)


def test_reject_sends_away_whoever_comes_while_a_run_has_not_ended(queue: Queue) -> None:
    first = queue.ask(policy="reject")
    with pytest.raises(BusyError, match=first.record.id):
        queue.ask(policy="reject")
    queue.becomes(first.record, "failed")
    assert queue.ask(policy="reject").fresh


@pytest.mark.parametrize(("operation", "is_repeated"), [("deploy", True), ("rollback", False)])
def test_a_killed_deploy_is_made_again_for_its_key_and_a_killed_rollback_is_not(
    queue: Queue, operation: str, is_repeated: bool
) -> None:
    """A rollback that names no version would go back a second time, if it had switched the link already."""
    first = queue.ask(operation, key="k").record
    queue.store.write(_replaced(first, state="running", pid=2**22 + 1, pid_started=1, boot=ProcessId.current().boot))
    again = queue.ask(operation, key="k").record
    assert (again.id != first.id, again.state) == (is_repeated, "starting" if is_repeated else "interrupted")


def test_a_key_gives_the_same_run_again_also_when_it_has_ended(queue: Queue) -> None:
    first = queue.ask(key="k")
    assert queue.ask(key="k") == Admission(first.record, fresh=False)
    queue.becomes(first.record, "ok")
    again = queue.ask(key="k")
    assert (again.record.id, again.fresh) == (first.record.id, False)
    assert queue.ask(key="l").record.id != first.record.id
    with pytest.raises(UsageError, match=first.record.id):
        queue.ask(key="k", ref="v1")


def test_a_state_dir_that_is_gone_is_a_sentence(queue: Queue) -> None:
    shutil.rmtree(queue.store.state_dir)
    with pytest.raises(GovmaError, match=r"state_dir .* cannot be used: No such file"):
        queue.ask()


def test_requests_at_the_same_moment_are_admitted_one_after_the_other(queue: Queue) -> None:
    admissions: list[Admission] = []

    def ask() -> None:
        admissions.append(queue.ask())

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({each.record.id for each in admissions}) == 2


class Waiter(threading.Thread):
    """A queued run that waits for its turn, as its runner does."""

    def __init__(self, store: RunStore, record: RunRecord, order: list[str]) -> None:
        super().__init__(daemon=True)
        self.events: list[Event] = []
        self.cancellation = Cancellation()
        self.done = threading.Event()
        self.cancelled = False
        self._store, self._record, self._order = store, record, order

    def run(self) -> None:
        reporter = Reporter(self.events.append, self.cancellation)
        try:
            with turn(self._store, self._record, reporter):
                self._order.append(self._record.id)
                self.done.wait()
                self._store.write(_replaced(self._record, state="ok"))
        except RunCancelled:
            self.cancelled = True


@pytest.fixture
def order() -> list[str]:
    return []


def test_turns_come_in_the_order_of_the_requests(queue: Queue, order: list[str]) -> None:
    records = [queue.ask(policy="each").record for _ in range(4)]
    for record in records:
        queue.becomes(record, "waiting")
    holder = Holder("x", "deploy", "ana", 1.0)
    with hold_lock(queue.store.state_dir, holder):
        waiters = [Waiter(queue.store, queue.store.read(record.id), order) for record in records]
        # The last one asks first.
        for waiter in reversed(waiters):
            waiter.start()
        time.sleep(0.2)
        assert order == []
    for number, waiter in enumerate(waiters):
        wait_for(lambda number=number: len(order) == number + 1, "the next turn")  # type: ignore[misc]
        assert order == [record.id for record in records[: number + 1]]
        waiter.done.set()
        waiter.join()
    lines = [event.text for event in waiters[1].events if isinstance(event, LogLine)]
    assert lines == [f"Waiting for deploy {records[0].id}, asked for by ana."]


def test_a_run_that_waits_can_be_cancelled(queue: Queue, order: list[str]) -> None:
    record = queue.ask().record
    queue.becomes(record, "waiting")
    with hold_lock(queue.store.state_dir, Holder("x", "deploy", "ana", 1.0)):
        waiter = Waiter(queue.store, queue.store.read(record.id), order)
        waiter.start()
        # Meant for a signal's handler, which runs in the thread that waits: in ours it may raise.
        with suppress(RunCancelled):
            waiter.cancellation.request()
        waiter.join(PATIENCE)
    assert waiter.cancelled
    assert order == []


def test_totals_outlive_the_records_they_count(tmp_path: Path) -> None:
    totals = Totals(tmp_path)
    totals.add_stage("deploy", "source", 1.5)
    totals.add_run("deploy", "ok")
    again = Totals(tmp_path)
    again.add_stage("deploy", "source", 0.5)
    again.add_run("deploy", "ok")
    again.add_run("rollback", "failed")
    assert Totals(tmp_path).runs() == {("deploy", "ok"): 2, ("rollback", "failed"): 1}
    assert Totals(tmp_path).stages() == {("deploy", "source"): (2, 2.0)}
    (tmp_path / "totals.json").write_text("half a file")
    assert Totals(tmp_path).runs() == {}
