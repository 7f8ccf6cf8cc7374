"""Recovery: what killed processes and power cuts left is gone before a new run begins."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import fcntl
import os
import shutil
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from govma_core.fs import jsonfile
from govma_core.runs import launch, recovery, runner
from govma_core.runs.launch import local_requester
from govma_core.runs.store import START_GRACE, RunRecord, RunStore
from govma_core.runs.totals import Totals
from govma_core.settings import Settings
from govma_core.versions.history import History, Promotion
from govma_core.versions.holds import HoldStore
from tests.support.releases import NAMES, Releases, eight_releases
from tests.support.sites import Site
from tests.support.waiting import wait_for


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path / "state")


def test_what_killed_processes_staged_is_removed_and_what_others_stage_is_not(settings: Settings) -> None:
    store = launch.prepare_store(settings)
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    leftover = settings.state_dir / f".totals.json-{process.pid}-0123456789abcdef"
    ours = jsonfile.staged_beside(settings.state_dir / "totals.json")
    mine = settings.state_dir / ".totals.json-notes"
    for path in (leftover, ours, mine):
        path.touch()
    recovery.settle_records(store)
    assert [path.exists() for path in (leftover, ours, mine)] == [False, True, True]


def test_runs_kept_elsewhere_come_back_when_there_is_room(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    store = launch.prepare_store(settings)
    monkeypatch.setattr(store, "spare", settings.state_dir.parent / "spare/site")
    monkeypatch.setattr("govma_core.runs.store._SPARE", settings.state_dir.parent / "spare")
    record = store.create("rollback", {}, "ana", "test", spare=True)
    assert store.ids() == [record.id]
    assert stat.S_IMODE(store.spare.parent.stat().st_mode) == 0o700
    recovery.settle_records(store)
    assert store.path(record.id).is_relative_to(store.spare)
    store.write(dataclasses.replace(record, state="ok", exit_code=0))
    recovery.settle_records(store)
    assert (store.ids(), store.read(record.id).state) == ([record.id], "ok")
    assert store.path(record.id).is_relative_to(store.directory)
    assert not store.spare.parent.exists()


@pytest.fixture
def spare(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> RunStore:
    """Give a store whose runs can be kept elsewhere, too."""
    monkeypatch.setattr("govma_core.runs.store._SPARE", settings.state_dir.parent / "spare")
    store = launch.prepare_store(settings)
    monkeypatch.setattr(store, "spare", settings.state_dir.parent / "spare/site")
    return store


def test_of_runs_kept_elsewhere_only_those_come_back_that_have_ended(spare: RunStore) -> None:
    runs = [spare.create("rollback", {}, "ana", "test", spare=True) for _ in range(4)]
    (spare.path(runs[1].id) / "run.json").write_text("cut sho")
    for run in runs[2:]:
        spare.write(dataclasses.replace(run, state="ok", exit_code=0))
    # Killed between the copy and the removal of the spare one: the copy is whole.
    shutil.copytree(spare.spare / runs[3].id, spare.directory / runs[3].id)
    (spare.directory / runs[3].id / "events.jsonl").write_text("first copy")
    recovery.settle_records(spare)
    assert sorted(os.listdir(spare.spare)) == [run.id for run in runs[:2]]
    assert sorted(os.listdir(spare.directory)) == [run.id for run in runs[2:]]
    assert (spare.path(runs[3].id) / "events.jsonl").read_text() == "first copy"
    assert spare.read(runs[0].id).state == "starting"


def test_a_run_that_finds_no_room_to_come_back_leaves_nothing_half(
    spare: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = spare.create("rollback", {}, "ana", "test", spare=True)
    spare.write(dataclasses.replace(record, state="ok", exit_code=0))
    copytree = shutil.copytree

    def full(src: Path, dst: Path, symlinks: bool) -> None:
        copytree(src, dst, symlinks=symlinks)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copytree", full)
        recovery.settle_records(spare)
    assert os.listdir(spare.directory) == []
    assert spare.read(record.id).state == "ok"
    recovery.settle_records(spare)
    assert os.listdir(spare.directory) == [record.id]


@pytest.mark.parametrize(("stage", "told"), [("assets", "assets"), ("", "its start")])
def test_a_run_that_was_killed_is_told_counted_and_judged_once(tmp_path: Path, stage: str, told: str) -> None:
    releases = eight_releases(tmp_path / "site")
    store = RunStore(releases.state)
    run = store.create("deploy", {}, "ana", "test")
    History(releases.state).append(Promotion(1.0, NAMES[7], NAMES[6], "deploy", "ana", run.id))
    store.write(dataclasses.replace(run, state="running", stage=stage, pid=1, pid_started=1, boot="gone"))
    releases.flags |= {"activation_url": "http://127.0.0.1:1", "keep_runs": 2}
    kept = [store.create("rollback", {}, "ana", "test", state="ok", finished=1.0) for _ in range(2)]
    recovery.recover(releases.context(), store)
    assert f"Run {run.id} (deploy) had been interrupted during {told}." in releases.log("warning")
    assert f"{NAMES[7]} is live, but run {run.id} was interrupted before it was proved" in releases.log("warning")
    assert Totals(releases.state).runs() == {("deploy", "interrupted"): 1}
    assert store.ids() == [kept.id for kept in reversed(kept)], "the oldest beyond keep_runs is removed"
    recovery.recover(releases.context(), store)
    assert releases.log() == ""


def test_totals_that_cannot_be_written_do_not_stop_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    releases = eight_releases(tmp_path / "site")
    store = RunStore(releases.state)
    run = store.create("deploy", {}, "ana", "test")
    store.write(dataclasses.replace(run, state="running", pid=1, pid_started=1, boot="gone"))
    monkeypatch.setattr(Totals, "add_run", full)
    recovery.recover(releases.context(), store)
    assert store.read(run.id).finished


def test_what_is_staged_for_every_record_is_swept_and_old_runs_without_a_record_go(settings: Settings) -> None:
    store = launch.prepare_store(settings)
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    run = store.create("deploy", {}, "ana", "test")
    store.write(dataclasses.replace(run, state="running", pid=1, pid_started=1, boot="gone"))
    leftovers = []
    for name in ("versions", "contents", "pins", "marks", "holds", "runs", f"runs/{run.id}"):
        (settings.state_dir / name).mkdir(exist_ok=True)
        leftovers.append(settings.state_dir / name / f".x.json-{process.pid}-0123456789abcdef")
        leftovers[-1].touch()
    recovery.settle_records(store)
    assert [path for path in leftovers if path.exists()] == []
    young = [store.create("deploy", {}, "ana", "test") for _ in range(2)]
    (store.path(run.id) / "run.json").unlink()
    recovery.prune_runs(store, 1)
    assert store.ids() == [kept.id for kept in reversed(young)], "one that goes on is kept"


@pytest.mark.parametrize("content", [None, "", '{"id": "cut sho'])
def test_a_run_whose_record_a_power_cut_has_taken_is_removed(settings: Settings, content: str | None) -> None:
    store = launch.prepare_store(settings)
    old, young = (store.create("deploy", {}, "ana", "test") for _ in range(2))
    for run in (old, young):
        at = store.path(run.id)
        (at / "run.json").unlink()
        if content is not None:
            (at / "run.json").write_text(content)
    past = time.time() - START_GRACE - 1
    os.utime(store.path(old.id), (past, past))
    assert recovery.settle_records(store) == []
    assert store.ids() == [young.id]


def test_the_room_for_a_last_word_is_gone_when_the_interruption_is_on_the_disk(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the order: what is removed after the record is synced may be back after a power cut, and stay."""
    store = launch.prepare_store(settings)
    run = store.create("deploy", {}, "ana", "test")
    store.write(dataclasses.replace(run, state="running", pid=1, pid_started=1, boot="gone"))
    listings: list[list[str]] = []
    write = store.write

    def noted(record: RunRecord) -> None:
        listings.append(sorted(os.listdir(store.path(run.id))))
        write(record)

    monkeypatch.setattr(store, "write", noted)
    assert [interrupted.id for interrupted in recovery.settle_records(store)] == [run.id]
    assert listings == [["events.jsonl", "run.json"]]


def test_right_after_a_run_that_has_told_its_end_the_next_one_begins(site: Site) -> None:
    """Guards a command after a command: a runner that is slow to count its run still holds the lock."""
    settings = site.settings
    store = launch.prepare_store(settings)
    with (settings.state_dir / "totals.lock").open("w") as counting, concurrent.futures.ThreadPoolExecutor() as pool:
        fcntl.flock(counting, fcntl.LOCK_EX)
        first = launch.start(settings, "rollback", {}, local_requester("test"))
        wait_for(lambda: store.read(first.record.id).ended, "the end of the first")
        second_start = pool.submit(launch.start, settings, "rollback", {}, local_requester("test"))
        # Refused, it would be by then; waiting, it waits for what follows.
        concurrent.futures.wait([second_start], timeout=0.5)
        fcntl.flock(counting, fcntl.LOCK_UN)
        second = second_start.result()
    for run in (first, second):
        wait_for(run.gone, "a runner's end")
    # There is no version to go back to: neither was refused for the other's sake.
    assert store.read(second.record.id).state == store.read(first.record.id).state != "busy"


@pytest.mark.parametrize("operation", runner.OPERATIONS)
def test_a_switch_does_not_wait_for_the_clearing_of_the_versions(tmp_path: Path, operation: str) -> None:
    releases = eight_releases(tmp_path / "site")
    leftover = releases.directory / ".govma-staging-0123456789abcdef"
    leftover.mkdir()
    context = dataclasses.replace(releases.context(), operation=operation)
    recovery.recover(context, RunStore(releases.state))
    # A prune clears them once nothing stands in its way.
    assert leftover.exists() == (operation not in ("deploy", "dedupe"))


def test_a_versions_directory_that_is_not_there_is_the_operations_to_refuse(tmp_path: Path) -> None:
    releases = Releases(tmp_path / "site")
    releases.directory.rmdir()
    recovery.recover(dataclasses.replace(releases.context(), operation="deploy"), RunStore(releases.state))
    assert releases.log() == ""


@pytest.mark.parametrize(("operation", "arguments"), [("rollback", {"version": "1999"}), ("deploy", {})])
def test_what_is_refused_does_not_wait_for_an_engine_that_does_not_answer(
    site: Site, monkeypatch: pytest.MonkeyPatch, operation: str, arguments: dict[str, str]
) -> None:
    """Guards the operator whose rollback would find the lock taken by a deploy that is held, for a minute."""
    state_dir = site.settings.state_dir
    store = launch.prepare_store(site.settings)
    (state_dir / "rehearsal").mkdir()
    HoldStore(state_dir).hold("", "ana", time.time())
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind(str(state_dir / "engine"))
        engine.listen()
        engine.setblocking(False)
        monkeypatch.setenv("DOCKER_HOST", f"unix://{state_dir}/engine")
        run = launch.start(site.settings, operation, arguments, local_requester("test"))
        wait_for(lambda: store.read(run.record.id).ended, "the refusal")
        assert store.read(run.record.id).state == "refused"
        with pytest.raises(BlockingIOError):
            engine.accept()
