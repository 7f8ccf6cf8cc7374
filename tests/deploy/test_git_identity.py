"""Which identity git has: that of the server's user, wherever it is started from; nothing of it is replaced."""

from __future__ import annotations

import os
import pwd
from contextlib import closing
from pathlib import Path

import pytest

from govma_core.deploy.source import Checkout
from govma_core.git import environment
from govma_core.reporting import silent
from govma_core.settings import load
from tests.support.rights import as_root
from tests.support.sample import SampleSite, create_sample, git

BATCH = "-o BatchMode=yes -o ConnectTimeout=20"
HOME = pwd.getpwuid(os.geteuid()).pw_dir


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GIT_SSH", "GIT_SSH_COMMAND", "GIT_ASKPASS", "SSH_ASKPASS", "SSH_ASKPASS_REQUIRE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("variables", "configured", "expected"),
    [
        ({}, "", f"ssh {BATCH}"),
        ({}, "ssh -i /etc/deploy-key", f"ssh -i /etc/deploy-key {BATCH}"),
        ({}, "/usr/bin/ssh -4", f"/usr/bin/ssh -4 {BATCH}"),
        ({}, "/usr/local/bin/through-the-gateway", None),
        ({"GIT_SSH_COMMAND": "ssh -p 2222"}, "ssh -i /etc/deploy-key", f"ssh -p 2222 {BATCH}"),
        ({"GIT_SSH_COMMAND": "plink -batch"}, "", "plink -batch"),
        ({"GIT_SSH": "/opt/ssh"}, "", None),
        ({"GIT_SSH": "/opt/ssh"}, "ssh -i /etc/deploy-key", f"ssh -i /etc/deploy-key {BATCH}"),
    ],
)
def test_options_are_added_to_the_ssh_that_git_would_use(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], configured: str, expected: str | None
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert environment(configured).get("GIT_SSH_COMMAND") == expected


def test_home_is_that_of_the_password_database_where_none_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")
    assert environment()["HOME"] == HOME
    monkeypatch.setenv("HOME", "")
    assert environment()["HOME"] == HOME


@as_root
def test_the_home_of_another_user_is_not_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`sudo -E` leaves the caller's HOME: what is in there is not the server's, and root would run it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert environment()["HOME"] == str(tmp_path)
    os.chown(tmp_path, 1000, 1000)
    assert environment()["HOME"] == HOME


def test_askpass_programs_stay_and_windows_do_not_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_ASKPASS", "/opt/token")
    monkeypatch.setenv("SSH_ASKPASS", "/usr/bin/ssh-askpass")
    variables = environment()
    assert (variables["GIT_ASKPASS"], variables["SSH_ASKPASS"]) == ("/opt/token", "")
    monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "force")
    assert environment()["SSH_ASKPASS"] == "/usr/bin/ssh-askpass"


def test_settings_of_git_in_the_environment_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = create_sample(tmp_path / "site")
    git("remote", "set-url", "origin", "https://git.invalid/site.git", cwd=site.source_dir)
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.{site.remote}.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "https://git.invalid/site.git")
    with closing(Checkout(load({}, file=site.config_file).settings, silent())) as checkout:
        checkout.fetch()


@pytest.mark.parametrize("how", ["core.sshCommand", "GIT_SSH_COMMAND", "GIT_SSH"])
def test_a_program_for_ssh_is_the_one_that_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Guards that an environment of ours does not come before the configuration."""
    site = create_sample(tmp_path / "site")
    program = _local_transport(site)
    git("remote", "set-url", "origin", f"ssh://git@site.invalid{site.remote}", cwd=site.source_dir)
    if how == "core.sshCommand":
        git("config", how, str(program), cwd=site.source_dir)
    else:
        monkeypatch.setenv(how, str(program))
    sha = site.commit({"new": "x"}, "Novo")
    with closing(Checkout(load({}, file=site.config_file).settings, silent())) as checkout:
        checkout.fetch()
        assert checkout.next_deploy().target.sha == sha
    assert "git-upload-pack" in (site.root / "started").read_text()


def _local_transport(site: SampleSite) -> Path:
    """Write a program that notes how it was called, and runs here what was to run on the remote's machine."""
    program = site.root / "transport"
    program.write_text(f'#!/bin/sh\necho "$@" >>{site.root}/started\nfor last; do :; done\neval "$last"\n')
    program.chmod(0o755)
    return program
