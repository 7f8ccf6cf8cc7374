"""Lock, record and log of runs: who holds, what a killed runner leaves, what a reader sees."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import pkgutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from govma_core.building.build_script import BuildLog
from govma_core.errors import BusyError, UsageError
from govma_core.events import (
    Event,
    LogLine,
    Progress,
    RunFinished,
    StageFinished,
    StageStarted,
    from_json,
    output_json,
    to_json,
)
from govma_core.process.proc import ProcessId
from govma_core.reporting import Reporter
from govma_core.runs import recovery, runner
from govma_core.runs.lock import Holder, hold_lock, lock_holder
from govma_core.runs.log import EventLog, LogFollower, follow, read_events
from govma_core.runs.store import RunRecord, RunStore
from tests.support.builds import job_of

HOLDER = Holder("20220102-030405-abcd", "deploy", "ana", 1.0)
HOLDING = (
    "import sys, time; from pathlib import Path; from govma_core.runs.lock import *\n"
    "with hold_lock(Path(sys.argv[1]), Holder('20220102-030405-abcd', 'deploy', 'ana', 1.0)):\n"
    "    print('held', flush=True); time.sleep(600)"
)


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path)


def test_who_holds_the_lock_is_said_and_a_second_holder_is_refused(tmp_path: Path) -> None:
    with hold_lock(tmp_path, HOLDER):
        assert lock_holder(tmp_path) == HOLDER
        with (
            pytest.raises(BusyError, match=r"deploy 20220102-030405-abcd, started by ana"),
            hold_lock(tmp_path, HOLDER),
        ):
            pass
    assert lock_holder(tmp_path) is None
    with hold_lock(tmp_path, HOLDER):
        pass


def test_the_lock_dies_with_its_holder(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDING, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert lock_holder(tmp_path) == HOLDER
        process.kill()
        process.wait()
        assert lock_holder(tmp_path) is None
        with hold_lock(tmp_path, HOLDER):
            pass


def test_only_the_owner_may_open_the_lock_and_everybody_may_read_the_note(tmp_path: Path) -> None:
    with hold_lock(tmp_path, HOLDER):
        assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600
        assert (tmp_path / "holder.json").stat().st_mode & 0o444 == 0o444


def test_a_process_is_told_from_another_with_its_pid() -> None:
    mine = ProcessId.current()
    assert mine.alive()
    assert not dataclasses.replace(mine, started=mine.started + 1).alive()
    assert not dataclasses.replace(mine, boot="another").alive()
    assert not dataclasses.replace(mine, started=mine.started + 1).signal(signal.SIGKILL)


def test_a_zombie_is_not_alive() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    stat = Path(f"/proc/{process.pid}/stat").read_text()
    found = ProcessId(process.pid, int(stat.rpartition(")")[2].split()[19]), ProcessId.current().boot)
    assert found.alive()
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not found.alive()
    process.communicate()


def running(store: RunStore, process: ProcessId) -> RunRecord:
    record = store.create("deploy", {}, "ana", "test")
    record = dataclasses.replace(
        record,
        state="running",
        stage="assets",
        pid=process.pid,
        pid_started=process.started,
        boot=process.boot,
    )
    store.write(record)
    return record


def test_a_run_whose_process_is_gone_is_interrupted_and_settled_once(store: RunStore) -> None:
    record = running(store, dataclasses.replace(ProcessId.current(), started=1))
    alive = running(store, ProcessId.current())
    assert store.read(record.id).state == "interrupted"
    assert "during assets" in store.read(record.id).message
    assert store.read(alive.id).state == "running"
    assert [interrupted.id for interrupted in recovery.settle_records(store)] == [record.id]
    assert recovery.settle_records(store) == []
    assert json.loads((store.path(record.id) / "run.json").read_text())["state"] == "interrupted"


def test_a_run_that_ends_while_it_is_looked_at_is_not_taken_for_interrupted(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = running(store, ProcessId.current())

    def alive(self: ProcessId) -> bool:
        store.write(dataclasses.replace(record, state="ok", exit_code=0))
        return False

    monkeypatch.setattr(ProcessId, "alive", alive)
    assert store.read(record.id).state == "ok"


def test_a_run_that_never_got_a_process_is_interrupted_after_a_while(store: RunStore) -> None:
    record = store.create("deploy", {}, "ana", "test")
    assert store.read(record.id).state == "starting"
    store.write(dataclasses.replace(record, created=time.time() - 60))
    assert store.read(record.id).state == "interrupted"


def test_runs_are_found_by_a_part_of_their_id(store: RunStore) -> None:
    first, second = store.create("deploy", {}, "a", "t"), store.create("rollback", {}, "b", "t")
    assert store.find(first.id[-4:]).id == first.id
    assert store.find(None).id == max(first.id, second.id)
    for wrong in ("2", "nothing", "../..", ""):
        with pytest.raises(UsageError):
            store.find(wrong)


def test_damaged_records_are_passed_over(store: RunStore) -> None:
    good, bad = store.create("deploy", {}, "a", "t"), store.create("deploy", {}, "a", "t")
    (store.path(bad.id) / "run.json").write_text('{"id": "cut sho')
    (store.directory / "notes.txt").write_text("not a run")
    assert [record.id for record in store.records()] == [good.id]


@pytest.mark.parametrize("name", runner.OPERATIONS)
def test_each_operation_is_a_function_of_a_context(name: str) -> None:
    """Guards the runner's table, whose names no type checker reads."""
    function = pkgutil.resolve_name(runner.OPERATIONS[name])
    context, *options = inspect.signature(function).parameters.values()
    assert context.annotation == "Context"
    assert all(option.kind is option.KEYWORD_ONLY for option in options)
    assert inspect.signature(function).return_annotation == "Outcome"


def test_old_runs_are_pruned_and_running_ones_kept(store: RunStore) -> None:
    old = running(store, ProcessId.current())
    (store.path(old.id) / "events.jsonl").write_text("")
    for number in range(4):
        path = store.path(f"21000101-00000{number}-abcd")
        path.mkdir()
        (path / "run.json").write_text(
            json.dumps(dataclasses.asdict(dataclasses.replace(old, id=path.name, state="ok")))
        )
    recovery.prune_runs(store, 2)
    assert store.ids() == ["21000101-000003-abcd", "21000101-000002-abcd", old.id]


ALL_EVENTS: list[Event] = [
    StageStarted(1.0, "source"),
    LogLine(2.0, "output", 'quotes " and é \udce9'),
    Progress(3.0, "source", 1, 2, "files"),
    StageFinished(4.0, "source", "ok", 3.0, "remark"),
    RunFinished(5.0, "ok", 0, "done"),
]


@pytest.mark.parametrize("event", [event for event in ALL_EVENTS if not isinstance(event, LogLine)])
def test_events_come_back_as_they_were_written(event: Event) -> None:
    assert from_json(to_json(event)) == event


@pytest.mark.parametrize("line", ["", "{", "[]", '{"event":"unknown"}', '{"event":"log"}', "null", '{"no":1}'])
def test_a_line_that_is_no_event_is_passed_over(line: str) -> None:
    assert from_json(line) is None


def test_unknown_fields_of_a_newer_runner_are_passed_over() -> None:
    assert from_json('{"event":"stage-started","at":1.0,"stage":"x","new":1}') == StageStarted(1.0, "x")


def test_a_name_that_is_no_utf8_does_not_stop_the_log(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl", 1 << 20)
    log.write(LogLine(1.0, "warning", "caf\udce9"))
    log.close()
    ((event, _),) = read_events(tmp_path / "events.jsonl")
    assert isinstance(event, LogLine)
    assert event.text.startswith("caf")


@given(st.floats(0, 1e12), st.lists(st.text()))
def test_lines_written_at_once_are_the_same_as_one_by_one(at: float, lines: list[str]) -> None:
    assert output_json(at, lines) == "".join(to_json(LogLine(at, "output", line)) + "\n" for line in lines)


def test_many_lines_at_once_are_kept_up_to_the_limit(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl", 10_000)
    log.write_output(1.0, [f"line {number}" for number in range(1000)])
    log.write(LogLine(1.0, "output", "short"))
    log.close()
    texts = [event.text for event, _ in read_events(tmp_path / "events.jsonl") if isinstance(event, LogLine)]
    assert 0 < len(texts) < 1000
    assert texts == [f"line {number}" for number in range(len(texts))]


def test_output_beyond_the_limit_is_counted_and_everything_else_is_kept(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl", 10_000)
    for number in range(1000):
        log.write(LogLine(1.0, "output", f"line {number}"))
    log.write(StageFinished(2.0, "assets", "ok", 1.0))
    log.close()
    events = [event for event, _ in read_events(tmp_path / "events.jsonl")]
    count = sum(isinstance(event, LogLine) and event.level == "output" for event in events)
    assert 0 < count < 1000
    assert (tmp_path / "events.jsonl").stat().st_size < 11_000
    assert isinstance(events[-2], LogLine)
    assert events[-2].text.startswith(f"{1000 - count} more lines of output were not kept")
    assert isinstance(events[-1], StageFinished)


def test_followers_get_a_burst_of_output_whole_when_the_program_pauses(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path, 1 << 20)
    build = BuildLog(job_of("true"), Reporter(log.write, flush=log.flush))
    levels = []
    chunks = iter([b"".join(b"line %d\n" % number for number in range(500)), None, b"last\n", b""])

    def receive() -> bytes | None:
        # Called again when the lines before have been taken: what is in the file by now is what followers see.
        levels.append(sum(1 for _ in read_events(path)))
        return next(chunks)

    build.follow(receive, timeout=60)
    assert levels == [0, 500, 500, 501]


def test_a_disk_without_room_does_not_stop_the_writer() -> None:
    log = EventLog(Path("/dev/full"), 1 << 20)
    log.write(StageStarted(1.0, "promote"))
    assert log.broken is not None
    log.close()


def test_a_follower_sees_every_event_of_a_run_that_is_written_meanwhile(store: RunStore) -> None:
    record = running(store, ProcessId.current())
    total = 3000

    def write() -> None:
        log = EventLog(store.path(record.id) / "events.jsonl", 1 << 30)
        for number in range(total):
            log.write(LogLine(1.0, "output", str(number)))
        log.flush()
        store.write(dataclasses.replace(record, state="ok", exit_code=0))
        log.write(RunFinished(2.0, "ok", 0, ""))
        log.close()

    writer = threading.Thread(target=write)
    writer.start()
    events = [event for event, _ in follow(store, record.id, poll=0.001)]
    writer.join()
    assert [event.text for event in events if isinstance(event, LogLine)] == [str(n) for n in range(total)]
    assert isinstance(events[-1], RunFinished)


def test_following_a_run_that_was_killed_ends_and_says_so(store: RunStore) -> None:
    record = running(store, dataclasses.replace(ProcessId.current(), started=1))
    log = EventLog(store.path(record.id) / "events.jsonl", 1 << 20)
    log.write(StageStarted(1.0, "assets"))
    log.close()
    *_, (last, _) = follow(store, record.id)
    assert isinstance(last, RunFinished)
    assert (last.result, last.exit_code) == ("interrupted", 1)


def test_an_end_that_is_not_in_the_log_stands_where_reading_stopped(store: RunStore) -> None:
    record = running(store, dataclasses.replace(ProcessId.current(), started=1))
    follower = LogFollower(store, record.id, 77)
    end = follower.read_end()
    assert end is not None
    assert [(type(event), offset) for event, offset in end.events()] == [(RunFinished, 77)]


@pytest.mark.parametrize("has_told_its_end", [True, False])
def test_what_was_written_just_before_the_record_is_followed_to_the_last_line(
    store: RunStore, monkeypatch: pytest.MonkeyPatch, has_told_its_end: bool
) -> None:
    """Guards the last lines of a log: they come after the last look at it, and before the look at the record."""
    record = running(store, ProcessId.current())
    log = EventLog(store.path(record.id) / "events.jsonl", 1 << 20)
    real = RunStore.read

    def ended_meanwhile(self: RunStore, run_id: str) -> RunRecord:
        if not real(self, run_id).ended:
            log.write_output(1.0, ["one", "two"])
            log.flush()
            self.write(dataclasses.replace(record, state="failed", exit_code=3, pid_started=1))
            if has_told_its_end:
                log.write(RunFinished(2.0, "failed", 3, "no"))
        return real(self, run_id)

    monkeypatch.setattr(RunStore, "read", ended_meanwhile)
    *lines, end = (event for event, _ in follow(store, record.id, poll=0.001))
    assert [line.text for line in lines if isinstance(line, LogLine)] == ["one", "two"]
    assert isinstance(end, RunFinished)
    assert (end.result, end.exit_code) == ("failed", 3)
    log.close()


def test_a_log_that_is_whole_before_its_record_ends_with_what_the_log_says(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards followers against a runner that cannot write its record down: they end, and once."""
    monkeypatch.setattr("govma_core.runs.log._LAST_EVENT_SECONDS", 0.0)
    record = running(store, ProcessId.current())
    log = EventLog(store.path(record.id) / "events.jsonl", 1 << 20)
    log.write(StageStarted(1.0, "promote"))
    log.write(RunFinished(2.0, "failed", 4, "no"))
    log.close()
    events = [event for event, _ in follow(store, record.id)]
    assert events == [StageStarted(1.0, "promote"), RunFinished(2.0, "failed", 4, "no")]
    follower = LogFollower(store, record.id)
    assert follower.read() is not None
    assert follower.read_end() is None, "its record goes on"


def test_the_last_event_of_a_run_that_still_writes_it_is_waited_for(store: RunStore) -> None:
    record = running(store, ProcessId.current())
    store.write(dataclasses.replace(record, state="ok", exit_code=0))
    follower = LogFollower(store, record.id)
    assert follower.read_end() is None
    assert follower.has_ended
    log = EventLog(store.path(record.id) / "events.jsonl", 1 << 20)
    log.write(RunFinished(2.0, "ok", 0, "done"))
    log.close()
    piece = follower.read_end()
    assert piece is not None
    assert piece.finished == RunFinished(2.0, "ok", 0, "done")


def test_a_line_after_a_full_disk_is_not_lost_with_the_half_one_before(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path, 1 << 20)
    log.write(StageStarted(1.0, "before"))
    with path.open("ab") as file:
        file.write(b'{"event":"half a li')
    log.broken = OSError("no space")
    log.write(RunFinished(2.0, "ok", 0, "done"))
    log.close()
    assert [event for event, _ in read_events(path)] == [StageStarted(1.0, "before"), RunFinished(2.0, "ok", 0, "done")]


def test_a_beginning_of_several_ids_names_them(store: RunStore) -> None:
    ids = {store.create("deploy", {}, "a", "t").id for _ in range(3)}
    with pytest.raises(UsageError) as raised:
        store.find("20")
    assert all(run_id in str(raised.value) for run_id in ids)


def test_a_closed_umask_hides_neither_runs_nor_holder(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        record = RunStore(tmp_path).create("deploy", {}, "a", "t")
        with hold_lock(tmp_path, HOLDER):
            assert (tmp_path / "holder.json").stat().st_mode & 0o004
    finally:
        os.umask(before)
    assert (tmp_path / "runs" / record.id).stat().st_mode & 0o005 == 0o005
    assert (tmp_path / "runs" / record.id / "run.json").stat().st_mode & 0o004
