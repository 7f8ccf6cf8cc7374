"""Deploys with the real engine: a real npm build, a killed run's container, an engine that is not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.command import Command
from tests.support.engine import Engine
from tests.support.sample import LEGACY_VERSION, SampleSite, create_sample, set_commands
from tests.support.waiting import PATIENCE, wait_for

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="builds in a container leave files of another user")


def command_for(sample: SampleSite) -> Command:
    return Command(sample.config_file, sample.state_dir)


def current(sample: SampleSite) -> str:
    return os.readlink(sample.versions_dir / "current-version")


def containers(engine: Engine, sample: SampleSite) -> list[str]:
    with engine.client() as client:
        label = f"govma-console.site={sample.versions_dir}"
        return [
            str(container.id)
            for container in client.containers.list(all=True, ignore_removed=True, filters={"label": label})
        ]


@as_root
def test_npm_really_builds_the_assets(tmp_path: Path, docker_engine: Engine, node_image: str) -> None:
    """Guards the main job: git, engine, npm install against the registry, build, version, promotion, asset cache."""
    sample = create_sample(tmp_path / "site", builder="docker", base_image=node_image, npm=True)
    command = command_for(sample)
    result = command.run("deploy")
    assert result.code == 0, result.err
    version = sample.versions_dir / current(sample)
    assert "$ npm install" in result.err
    assert list((version / "html/docs").rglob("*.html"))
    built = {str(path.relative_to(version)): path.read_bytes() for path in (version / "system/user").rglob("*.css")}
    assert built
    assert {path.lstat().st_uid for path in version.rglob("*")} == {33}
    assert any(sample.node_modules_dir.iterdir())
    assert containers(docker_engine, sample) == []
    again = command.run("deploy")
    assert again.code == 0, again.err
    assert "$ npm install" not in again.err
    version = sample.versions_dir / current(sample)
    assert {str(p.relative_to(version)): p.read_bytes() for p in (version / "system/user").rglob("*.css")} == built
    assert command.run("rollback").code == 0


@as_root
def test_a_container_that_a_killed_run_left_is_removed_by_the_next(
    tmp_path: Path, docker_engine: Engine, busybox_image: str
) -> None:
    sample = create_sample(tmp_path / "site", builder="docker", base_image=busybox_image)
    command = command_for(sample)
    set_commands(sample, "echo going; sleep 600")
    process = command.start("deploy")
    record = command.wait_for_stage("assets")
    (container,) = wait_for(lambda: containers(docker_engine, sample), "the container")
    command.kill_runner(record)
    process.communicate(timeout=PATIENCE)
    assert containers(docker_engine, sample) == [container]
    set_commands(sample, "true")
    result = command.run("deploy")
    assert result.code == 0, result.err
    assert containers(docker_engine, sample) == []
    assert current(sample) != LEGACY_VERSION


@as_root
def test_a_cancelled_build_leaves_no_container(tmp_path: Path, docker_engine: Engine, busybox_image: str) -> None:
    sample = create_sample(tmp_path / "site", builder="docker", base_image=busybox_image)
    command = command_for(sample)
    set_commands(sample, "echo going; sleep 600")
    process = command.start("deploy")
    command.wait_for_stage("assets")
    wait_for(lambda: containers(docker_engine, sample), "the container")
    assert command.run("cancel").code == 0
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert containers(docker_engine, sample) == []
    assert current(sample) == LEGACY_VERSION


def test_an_engine_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    sample = create_sample(tmp_path / "site", builder="docker")
    result = command_for(sample).run("deploy", DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert result.code == 3
    assert f"{tmp_path}/none.sock" in result.err
    assert "Docker" in result.err
    assert current(sample) == LEGACY_VERSION
