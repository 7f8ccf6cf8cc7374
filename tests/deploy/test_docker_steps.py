"""Two steps of a build side by side, in containers of the real engine: at the same time, and they end together."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from govma_core.building import step_tree
from tests.deploy.test_docker_deploy import command_for, containers, current
from tests.support.cut_line import cut_line
from tests.support.engine import Engine
from tests.support.rights import as_root
from tests.support.sample import LEGACY_VERSION, SampleSite, create_sample, set_commands
from tests.support.waiting import PATIENCE, wait_for

pytestmark = [as_root, pytest.mark.root]

# Each waits for a name that the other makes where both can write.
MEETING = (
    "touch node_modules/{mine}; until [ -e node_modules/{other} ]; do sleep 0.05; done; echo met > data/html/{mine}"
)


@pytest.fixture
def sample(tmp_path: Path, busybox_image: str) -> SampleSite:
    sample = create_sample(tmp_path / "site", builder="docker", base_image=busybox_image)
    set_commands(sample, "true")
    return sample


def set_steps(sample: SampleSite, **commands: str) -> None:
    lines = sample.config_file.read_text().partition("[[build.steps]]")[0]
    steps = "".join(
        f"[[build.steps]]\nname = '{name}'\ncommand = '{command}'\nafter = []\n" for name, command in commands.items()
    )
    sample.config_file.write_text(f"{lines}\n{steps}")


def test_two_steps_run_at_the_same_time_and_each_line_names_its_own(sample: SampleSite) -> None:
    command = command_for(sample)
    set_steps(sample, one=MEETING.format(mine="a", other="b"), two=MEETING.format(mine="b", other="a") + "; echo two")
    result = command.run("deploy")
    assert result.code == 0, result.err
    html = sample.versions_dir / current(sample) / "html"
    assert [(html / name).read_text() for name in "ab"] == ["met\n", "met\n"]
    assert "   two: two\n" in result.err
    assert "== assets/one ok" in result.err
    assert step_tree.left(sample.work_dir) == []


def test_one_at_a_time_when_that_is_set(sample: SampleSite) -> None:
    sample.config_file.write_text(f"build_jobs = 1\n{sample.config_file.read_text()}")
    alone = "mkdir node_modules/lock && sleep 0.3 && rmdir node_modules/lock"
    set_steps(sample, one=alone, two=f"{alone}; echo x > data/html/x")
    result = command_for(sample).run("deploy")
    assert result.code == 0, result.err


def test_a_step_that_fails_ends_the_other_and_its_container(sample: SampleSite, docker_engine: Engine) -> None:
    command = command_for(sample)
    waits = "touch node_modules/waits; echo waiting; sleep 600"
    set_steps(sample, waits=waits, fails="until [ -e node_modules/waits ]; do sleep 0.05; done; exit 7")
    result = command.run("deploy")
    assert result.code == 1
    assert "the step fails, `until [ -e node_modules/waits" in result.err
    assert "exit code 7" in result.err
    assert "== assets/waits cancelled" in result.err
    assert containers(docker_engine, sample) == []
    assert current(sample) == LEGACY_VERSION


def test_a_killed_run_leaves_two_containers_and_the_next_clears_them_and_their_trees(
    sample: SampleSite, docker_engine: Engine
) -> None:
    command = command_for(sample)
    set_steps(sample, one="echo going; sleep 600", two="echo going; sleep 600")
    process = command.start("deploy")
    record = command.wait_for_stage("assets/two")
    wait_for(lambda: len(containers(docker_engine, sample)) == 2, "both containers")
    command.kill_runner(record)
    process.communicate(timeout=PATIENCE)
    assert len(containers(docker_engine, sample)) == 2
    assert {tree.name for tree in step_tree.left(sample.work_dir)} == {"install", "one", "two"}
    set_steps(sample, one="true", two="true")
    result = command.run("deploy")
    assert result.code == 0, result.err
    assert containers(docker_engine, sample) == []
    assert step_tree.left(sample.work_dir) == []


def test_an_engine_that_goes_in_the_middle_of_two_steps_is_one_sentence(
    sample: SampleSite, docker_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = command_for(sample)
    set_steps(sample, one="echo going; sleep 600", two="echo going; sleep 600")
    with cut_line(tmp_path / "cut.sock", docker_engine) as line, monkeypatch.context() as variables:
        variables.setenv("DOCKER_HOST", line.host)
        process = command.start("deploy")
        events = sample.state_dir / "runs" / command.wait_for_stage("assets/two").id / "events.jsonl"
        wait_for(lambda: all(f"{name}: going" in events.read_text() for name in ("one", "two")), "both builds")
        line.cut()
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert b"Docker stopped answering during the build" in err
    assert b"Traceback" not in err
    gc.collect()
    set_steps(sample, one="true", two="true")
    assert command.run("deploy").code == 0
    assert containers(docker_engine, sample) == []


def test_no_step_finds_what_another_beside_it_makes(sample: SampleSite) -> None:
    wait = "until [ -e node_modules/{0} ]; do sleep 0.05; done"
    set_steps(
        sample,
        one=f"echo one > data/html/one; touch node_modules/made; {wait.format('looked')}",
        two=f"{wait.format('made')}; [ ! -e data/html/one ] && echo two > data/html/two; touch node_modules/looked",
    )
    result = command_for(sample).run("deploy")
    assert result.code == 0, result.err
    html = sample.versions_dir / current(sample) / "html"
    assert ((html / "one").read_text(), (html / "two").read_text()) == ("one\n", "two\n")
