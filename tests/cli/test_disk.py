"""usage, dedupe, verify and the sizes in `list`, as an operator types them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from govma_core.errors import ExitCode
from tests.support.command import Command
from tests.support.sample import SampleSite

OLD = "data-build--2021-09-04-10h00m00s"


def deploy_twice(sample: SampleSite, command: Command) -> str:
    """Deploy, and put a copy beside it as deploy.sh would have made it: each file with an inode of its own."""
    result = command.run("deploy")
    assert result.code == 0, result.err
    name = result.out.strip()
    shutil.copytree(sample.versions_dir / name, sample.versions_dir / OLD, symlinks=True)
    if os.geteuid() == 0:
        subprocess.run(["chown", "-hR", "33:33", sample.versions_dir / OLD], check=True)
    return name


def du(path: Path) -> int:
    return int(subprocess.run(["du", "-s", "-B1", path], capture_output=True, check=True).stdout.split()[0])


def test_usage_and_list_tell_what_du_tells(sample: SampleSite, command: Command) -> None:
    name = deploy_twice(sample, command)
    report = json.loads(command.run("usage", "--json").out)
    sizes = {version["name"]: version["size"] for version in report["versions"]}
    assert sizes[name] == du(sample.versions_dir / name)
    assert report["real"] + report["others"] == du(sample.versions_dir)
    assert report["current"] == name
    assert report["next_deploy"] > max(sizes.values())
    listed = json.loads(command.run("list", "--json").out)["versions"]
    assert {version["name"]: version["size"] for version in listed} == sizes
    table = command.run("usage").out
    assert f"*  {name}" in table
    assert "without hard links they would take" in table


def test_list_says_when_sizes_are_not_known(sample: SampleSite, command: Command) -> None:
    result = command.run("list")
    assert "sizes of 1 version are not known yet" in result.err
    assert json.loads(command.run("list", "--json").out)["versions"][0]["size"] is None


def test_dedupe_links_and_tells(sample: SampleSite, command: Command) -> None:
    name = deploy_twice(sample, command)
    before = du(sample.versions_dir)
    planned = json.loads(command.run("dedupe", "--dry-run", "--json").out)
    assert planned["linked"] > 50
    assert du(sample.versions_dir) == before
    record = json.loads(command.run("dedupe", "--json").out)
    details = record["details"]
    assert (details["linked"], details["freed"]) == (planned["linked"], planned["freed"])
    assert before - du(sample.versions_dir) == details["freed"]
    page = "html/index.php"
    assert (sample.versions_dir / name / page).samefile(sample.versions_dir / OLD / page)
    config = "system/user/config/config.php"
    assert not (sample.versions_dir / name / config).samefile(sample.versions_dir / OLD / config)
    assert [entry for entry in os.listdir(sample.versions_dir) if entry.startswith(".")] == []
    again = command.run("dedupe")
    assert again.code == 0
    assert again.out.startswith("0 files linked, 0 B freed")
    assert again.err.count(" freed") == 1
    assert "more free" not in again.out


def test_verify_names_what_changed_and_fails(sample: SampleSite, command: Command) -> None:
    name = deploy_twice(sample, command)
    assert command.run("verify", name).code == 0
    (sample.versions_dir / name / "html/index.php").write_text("edited")
    result = command.run("verify")
    assert result.code == 1
    assert f"{name}: changed: 1" in result.out
    assert "  changed        html/index.php" in result.out
    assert f"{OLD}: no record of what was published" in result.out
    report = json.loads(command.run("verify", name, "--json").out)
    assert report["sound"] is False
    assert report["versions"][0]["changes"] == [{"path": "html/index.php", "kind": "changed"}]


def test_a_rollback_gives_the_old_version_its_own_config(sample: SampleSite, command: Command) -> None:
    name = deploy_twice(sample, command)
    third = "data-build--2021-09-05-10h00m00s"
    shutil.copytree(sample.versions_dir / OLD, sample.versions_dir / third, symlinks=True)
    if os.geteuid() == 0:
        subprocess.run(["chown", "-hR", "33:33", sample.versions_dir / third], check=True)
    assert command.run("dedupe").code == 0
    config = "system/user/config/config.php"
    assert (sample.versions_dir / OLD / config).samefile(sample.versions_dir / third / config)
    result = command.run("promote", OLD)
    assert result.code == 0, result.err
    assert "got inodes of their own" in result.err
    with (sample.versions_dir / "current-version" / config).open("r+") as file:
        file.write("CMS")
    for other in (name, third):
        assert not (sample.versions_dir / other / config).read_text().startswith("CMS")


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("dedupe", "--dry-run", "--detach"), ExitCode.USAGE, "leave --detach out"),
        (("dedupe", "--reflink", "perhaps"), ExitCode.USAGE, "invalid choice"),
        (("verify", "nothing"), ExitCode.REFUSED, "There is no version"),
    ],
)
def test_bad_requests_are_told(command: Command, words: tuple[str, ...], code: int, sentence: str) -> None:
    result = command.run(*words)
    assert result.code == code
    assert sentence in result.err
