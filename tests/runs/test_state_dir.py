"""The state directory: who may enter it, what is left in it, and what a run needs of it."""

from __future__ import annotations

import dataclasses
import grp
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from govma_console.server.tokens import Tokens
from govma_core.building import tree_snapshot
from govma_core.errors import BuildError, ConfigurationError, GovmaError
from govma_core.fs import safefs
from govma_core.process import descendants
from govma_core.runs import launch
from govma_core.runs.launch import Requester
from govma_core.runs.store import RunRecord
from govma_core.settings import Settings
from tests.support.rights import as_root

ANA = Requester("ana", "test")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path / "state")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@as_root
def test_only_the_owner_enters_it_and_log_group_reads_logs(settings: Settings) -> None:
    settings.state_dir.mkdir(mode=0o755)
    launch.prepare_store(settings)
    assert mode(settings.state_dir) == 0o700
    group = grp.getgrgid(33)
    store = launch.prepare_store(dataclasses.replace(settings, log_group=group.gr_name))
    record = launch.write_down(store, settings, "deploy", {}, ANA)
    log = store.path(record.id) / "events.jsonl"
    assert (mode(settings.state_dir), settings.state_dir.stat().st_gid) == (0o750, 33)
    assert (mode(log), log.stat().st_gid) == (0o640, 33)
    launch.prepare_store(settings)
    assert mode(settings.state_dir) == 0o700
    with pytest.raises(ConfigurationError, match="no group 'nobody-has-it'"):
        launch.prepare_store(dataclasses.replace(settings, log_group="nobody-has-it"))


def test_a_run_that_cannot_be_started_does_not_seem_to_start(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = launch.prepare_store(settings)
    record = launch.write_down(store, settings, "deploy", {}, ANA)
    (store.path(record.id) / "runner.err").touch()
    with pytest.raises(GovmaError, match="cannot be written down"):
        launch.launch(store, record)
    assert store.read(record.id).state == "failed"


def test_a_runner_that_died_before_its_first_word_is_interrupted_at_once(settings: Settings) -> None:
    store = launch.prepare_store(settings)
    record = launch.write_down(store, settings, "deploy", {}, ANA)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        store.note_process(record.id, process.pid)
        assert store.read(record.id).state == "starting"
        process.kill()
    assert store.read(record.id).state == "interrupted"
    upgraded = "was upgraded with the system: install govma-console again, as for an upgrade."
    for last_words, advice in (
        ("MemoryError", ""),
        ("It was no good.", ""),
        ("ImportError: none", f" If Python {upgraded}"),
    ):
        (store.path(record.id) / "runner.err").write_text(f"Traceback:\n{last_words}\n")
        said = f"The run's process ended during its start: {last_words.rstrip('.')}.{advice}"
        assert store.read(record.id).message == said


def test_the_last_word_needs_no_room(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    store = launch.prepare_store(settings)
    record = launch.write_down(store, settings, "deploy", {}, ANA)

    def full(record: RunRecord) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "write", full)
    large = {"plan": "x" * 100_000}
    store.write_last(dataclasses.replace(record, state="ok", exit_code=0, finished=time.time(), details=large))
    process = store.read(record.id)
    assert (process.state, process.exit_code, process.details) == ("ok", 0, {})
    assert sorted(os.listdir(store.path(record.id))) == ["events.jsonl", "run.json"]


def test_tokens_that_are_added_at_the_same_time_are_all_there(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    threads = [threading.Thread(target=lambda n=n: Tokens(path).add(f"ci{n}")) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Tokens(path).read()) == 20
    assert os.listdir(tmp_path) == ["tokens"]


def test_a_large_file_of_holes_is_refused_at_once(tmp_path: Path) -> None:
    with (tmp_path / "holes").open("wb") as file:
        file.truncate(1 << 42)
    with safefs.opened_root(tmp_path) as fd, pytest.raises(BuildError, match="next to nothing in it"):
        tree_snapshot.take(fd)


def test_a_build_of_another_site_is_not_ended() -> None:
    environment = {**os.environ, "GOVMA_BUILD_FOR": "/srv/one/www_versions"}
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env=environment) as process:
        uid = os.geteuid()
        assert [process.pid for process in descendants.left("GOVMA_BUILD_FOR=/srv/one/www_versions", uid, [])] == [
            process.pid
        ]
        assert descendants.left("GOVMA_BUILD_FOR=/srv/one/www_version", uid, []) == []
        process.kill()
