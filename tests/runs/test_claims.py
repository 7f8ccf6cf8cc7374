"""Two settings files with one work_dir or versions_dir and two state_dirs: the second is refused by name."""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
from pathlib import Path

import pytest

from govma_core.fs import jsonfile
from govma_core.runs import recovery
from tests.support.command import Command
from tests.support.sample import LEGACY_VERSION, SampleSite, create_sample
from tests.support.sites import Site
from tests.support.waiting import wait_for


@pytest.fixture
def sample(tmp_path: Path) -> SampleSite:
    return create_sample(tmp_path / "site")


@pytest.fixture
def first(sample: SampleSite) -> Command:
    return Command(sample.config_file, sample.state_dir)


def with_other_state_dir(sample: SampleSite, *names: str) -> Command:
    """Return the command with the same settings but for state_dir, and these directories."""
    text = sample.config_file.read_text()
    for name in ("state_dir", *names):
        path = getattr(sample, name)
        other = path.with_name(f"other-{path.name}")
        if name != "work_dir":
            other.mkdir()
        text = text.replace(f'{name} = "{path}"', f'{name} = "{other}"')
    config = sample.root / "other.toml"
    config.write_text(text)
    return Command(config, sample.state_dir.with_name("other-state"))


def waiting_build(sample: SampleSite) -> None:
    text = sample.config_file.read_text()
    wait = f"while [ ! -e {sample.root}/go ]; do echo waiting; sleep 0.05; done; sh tools/build.sh install"
    sample.config_file.write_text(text.replace("sh tools/build.sh install", wait))


@pytest.mark.parametrize("own", [(), ("versions_dir",), ("work_dir",)])
def test_the_second_does_not_end_the_build_of_the_first(sample: SampleSite, first: Command, own: tuple[str]) -> None:
    second = with_other_state_dir(sample, *own)
    waiting_build(sample)
    run = first.run("deploy", "--detach").out.strip()
    first.wait_for_stage("assets")
    shared = sample.work_dir if "versions_dir" in own else sample.versions_dir
    refused = second.run("deploy")
    assert refused.code == 3
    assert f"{shared} belongs to the site whose state_dir is {sample.state_dir}" in refused.err
    assert ("belongs to the site" in second.run("prune").err) is ("versions_dir" not in own)
    doctor = {finding["what"]: finding for finding in second.run("doctor", "--json").json if finding["state"] != "ok"}
    assert str(sample.state_dir) in doctor["work_dir" if "versions_dir" in own else "versions_dir"]["said"]
    (sample.root / "go").touch()
    wait_for(lambda: first.runs.read(run).ended, "the end of the run")
    assert first.runs.read(run).state == "ok"


def test_a_state_dir_that_was_moved_or_went_elsewhere_claims_nothing(sample: SampleSite, first: Command) -> None:
    assert first.run("deploy").code == 0
    second = with_other_state_dir(sample)
    assert second.run("prune").code == 3
    # To go back has to be possible whoever owns what.
    assert second.run("promote", LEGACY_VERSION).code == 0
    moved = sample.state_dir.with_name("moved")
    sample.state_dir.rename(moved)
    assert second.run("deploy").code == 0
    moved.rename(sample.state_dir)
    assert first.run("deploy").code == 3
    shutil.rmtree(second.state_dir)
    assert first.run("deploy").code == 0


def test_a_claim_that_cannot_be_written_keeps_no_prune_from_making_room(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(jsonfile, "replace_bytes", no_space)
    recovery.claim_directories(dataclasses.replace(site.context(), operation="prune"))
