"""Runs that commands start, wait for, leave, cancel and take up again."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from govma_console.cli.main import main
from govma_core.runs import launch
from tests.support.command import Command
from tests.support.sample import LEGACY_VERSION, SampleSite
from tests.support.waiting import PATIENCE, wait_for


def slow_build(sample: SampleSite) -> None:
    """Make the build wait after each line, until the file `go` is there."""
    text = sample.config_file.read_text()
    others = [line for line in text.splitlines() if not line.startswith(("install_command", "build_commands"))]
    wait = f"while [ ! -e {sample.root}/go ]; do echo waiting; sleep 0.05; done"
    sample.config_file.write_text("\n".join([*others, f"install_command = '{wait}'", "build_commands = []"]))


def test_a_second_deploy_is_busy_and_says_who(command: Command, sample: SampleSite) -> None:
    slow_build(sample)
    process = command.start("deploy")
    command.wait_for_stage("assets")
    run = command.runs.find(None).id
    second = command.run("rollback")
    assert second.code == 4
    assert f"deploy {run}" in second.err
    status = command.run("status", "--json").json
    assert status["holder"]["run"] == run
    (sample.root / "go").touch()
    process.communicate()
    assert process.returncode == 0


def test_a_command_right_after_a_detached_one_comes_after_it(
    command: Command, sample: SampleSite, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Guards the turn of what was left behind: the next command of a script neither overtakes it nor is refused."""
    # How long a command takes to start is the machine's: here, they are all right after one another.
    monkeypatch.setattr(launch, "_RIGHT_AFTER", PATIENCE)

    def said(*words: str) -> str:
        code = main(["--config", str(sample.config_file), *words])
        printed = capsys.readouterr()
        assert code == 0, printed.err
        return printed.out.strip()

    slow_build(sample)
    first = said("deploy", "--detach")
    command.wait_for_stage("assets")
    second = said("prune", "--detach")
    (sample.root / "go").touch()
    third = json.loads(said("rollback", "--json"))
    assert third["version"] == LEGACY_VERSION
    records = [command.runs.read(run) for run in (first, second, third["id"])]
    assert [record.state for record in records] == ["ok"] * 3
    assert records[0].finished <= records[1].started
    assert records[1].finished <= records[2].started


def test_a_detached_run_that_has_been_going_is_not_waited_for(command: Command, sample: SampleSite) -> None:
    slow_build(sample)
    run = command.run("deploy", "--detach").out.strip()
    command.wait_for_stage("assets")
    time.sleep(max(0.0, launch._RIGHT_AFTER - (time.time() - command.runs.read(run).created)))
    assert command.run("rollback").code == 4
    (sample.root / "go").touch()
    wait_for(lambda: command.runs.read(run).ended, "the end of the run")
    assert command.runs.read(run).state == "ok"


def test_many_started_at_once_run_one_at_a_time(command: Command, sample: SampleSite) -> None:
    slow_build(sample)
    processes = [command.start("deploy") for _ in range(8)]
    command.wait_for_stage("assets")
    wait_for(lambda: sum(process.poll() is not None for process in processes) == 7, "the others' end")
    (sample.root / "go").touch()
    codes = sorted(process.wait() for process in processes)
    for process in processes:
        process.communicate()
    assert codes == [0] + [4] * 7


def test_ctrl_c_cancels_cleanly(command: Command, sample: SampleSite) -> None:
    slow_build(sample)
    process = command.start("deploy")
    record = command.wait_for_stage("assets")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert b"Cancelling" in err
    assert command.runs.read(record.id).state == "cancelled"
    assert command.runs.read(record.id).exit_code == 130
    assert (sample.work_dir / "data").is_dir()
    assert os.readlink(sample.versions_dir / "current-version") == LEGACY_VERSION
    (sample.root / "go").touch()
    assert command.run("deploy").code == 0


def test_cancel_from_another_terminal(command: Command, sample: SampleSite) -> None:
    slow_build(sample)
    process = command.start("deploy")
    command.wait_for_stage("assets")
    assert command.run("cancel").code == 0
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 130


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGKILL])
def test_a_lost_terminal_cancels_nothing(command: Command, sample: SampleSite, number: signal.Signals) -> None:
    slow_build(sample)
    process = command.start("deploy")
    record = command.wait_for_stage("assets")
    os.killpg(process.pid, number)
    process.communicate(timeout=PATIENCE)
    assert command.runs.read(record.id).state == "running"
    attached = command.start("attach")
    log = attached.stderr
    assert log is not None
    # Only once it follows may the run go on: it could be over before the command has started.
    wait_for(lambda: b"== source ok" in log.readline(), "the log from its beginning")
    (sample.root / "go").touch()
    attached.communicate(timeout=PATIENCE)
    assert attached.returncode == 0
    assert (
        os.readlink(sample.versions_dir / "current-version") == command.runs.read(record.id).version != LEGACY_VERSION
    )


def test_a_killed_runner_is_interrupted_and_the_next_deploy_works(command: Command, sample: SampleSite) -> None:
    slow_build(sample)
    process = command.start("deploy")
    record = command.wait_for_stage("assets")
    command.kill_runner(record)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert b"interrupted during assets" in err
    status = command.run("status", "--json").json
    assert (status["last_run"]["state"], status["holder"]) == ("interrupted", None)
    (sample.root / "go").touch()
    result = command.run("deploy")
    assert result.code == 0
    assert f"Run {record.id} (deploy) had been interrupted" in result.err


def test_ctrl_c_while_attached_only_leaves(command: Command, sample: SampleSite) -> None:
    slow_build(sample)
    run = command.run("deploy", "--detach").out.strip()
    command.wait_for_stage("assets")
    process = command.start("attach")
    log = process.stderr
    assert log is not None
    wait_for(lambda: b"== preflight" in log.readline(), "the log")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert command.runs.read(run).state == "running"
    (sample.root / "go").touch()
    assert command.run("log", "-f").out.rstrip().endswith("is live.")  # also when it has ended by then
