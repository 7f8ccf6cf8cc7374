"""A developer pushes what breaks the site: the whole way, from git to what a visitor of a real Apache gets."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from govma_core.promotion.web_page import ask
from tests.support.apache import containers_of, serving
from tests.support.command import Command
from tests.support.engine import Engine
from tests.support.sample import create_sample
from tests.support.waiting import PATIENCE, wait_for

BROKEN = "<?php\nrequire __DIR__ . '/../system/user/nada.php';\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="files are given to the web server's user")
@pytest.mark.slow
def test_a_broken_commit_never_goes_live_and_the_next_one_does(
    tmp_path: Path, docker_engine: Engine, apache_image: str
) -> None:
    """Guards the promise of rehearsal and activation together, by the command, on the sample site."""
    sample = create_sample(tmp_path / "site", builder="local")
    index = (sample.source_dir / "data/html/index.php").read_text()
    command = Command(sample.config_file, sample.state_dir)
    with serving(docker_engine, apache_image, sample.versions_dir, sample.upload_dir, wait=False) as apache:
        with sample.config_file.open("a") as file:
            file.write(f'\n[rehearsal]\nlike = "{apache.service}"\nchecks = [{{path = "/", contains = "Notícias"}}]\n')
            file.write(f'[activation]\ncontainers = ["{apache.service}"]\nchecks = [{{path = "/"}}]\n')
        result = command.run("deploy")
        assert result.code == 0, result.err
        assert "/ answers as it must" in result.err
        assert "served after" in result.err
        good = result.out.strip()
        sample.commit({"data/html/index.php": BROKEN}, "Quebra tudo")
        result = command.run("deploy")
        assert result.code == 1
        assert "answered 500, not 200" in result.err
        assert "Failed opening required" in result.err
        assert command.run("status", "--json").json["current"] == good
        assert "Notícias" in ask(apache.address, "/").text
        record = json.loads(command.run("runs", "--json").out)[0]
        bad = record["version"]
        assert (sample.versions_dir / bad).is_dir()
        assert command.run("check", bad).code == 1
        result = command.run("promote", bad)
        assert result.code == 1
        sample.commit({"data/html/index.php": index + "// 2\n"}, "Conserta")
        result = command.run("deploy")
        assert result.code == 0, result.err
        assert command.run("check", result.out.strip()).code == 0
    assert containers_of(docker_engine, sample.versions_dir) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="files are given to the web server's user")
def test_what_a_killed_rehearsal_left_is_removed_by_the_next(
    tmp_path: Path, docker_engine: Engine, apache_image: str
) -> None:
    """Guards the production database from a candidate's container that nobody looks after any more."""
    sample = create_sample(tmp_path / "site", builder="local")
    with sample.config_file.open("a") as file:
        file.write(f'\n[rehearsal]\nimage = "{apache_image}"\nchecks = [{{path = "/slow.php"}}]\n')
    sample.commit({"data/html/slow.php": "<?php sleep(60);\n"}, "Devagar")
    command = Command(sample.config_file, sample.state_dir)
    process = command.start("deploy")
    record = command.wait_for_stage("rehearsal")
    wait_for(lambda: containers_of(docker_engine, sample.versions_dir), "the container")
    command.kill_runner(record)
    process.communicate(timeout=PATIENCE)
    containers = containers_of(docker_engine, sample.versions_dir)
    assert containers == [f"govma-rehearsal-{record.id}"]
    sample.commit({"data/html/slow.php": "<?php echo 1;\n"}, "Depressa")
    result = command.run("deploy")
    assert result.code == 0, result.err
    assert f"Removed the container {containers[0]}, which run {record.id} left behind." in result.err
    assert containers_of(docker_engine, sample.versions_dir) == []
    assert list((sample.state_dir / "rehearsal").iterdir()) == []
