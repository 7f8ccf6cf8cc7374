"""The build's copy of the checkout's repository: what the build gets to see of it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from govma_core.building import repository_copy, work_dir


def git(directory: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=directory, check=True, capture_output=True, text=True).stdout


def filled(tmp_path: Path, source: Path) -> Path:
    work, state = tmp_path / "work", tmp_path / "state"
    state.mkdir()
    with work_dir.emptied(work, state) as fd:
        os.mkdir(".git", dir_fd=fd)
        repository_copy.copy_repository(fd, source / ".git", None, lambda: None)
    return work


def test_the_builds_copy_of_the_checkout_has_no_credentials(tmp_path: Path) -> None:
    source = tmp_path / "source"
    git(tmp_path, "init", "-q", "-b", "main", str(source))
    git(source, "-c", "user.name=a", "-c", "user.email=a@example.invalid", "commit", "-q", "--allow-empty", "-m", "x")
    module = source / ".git/modules/parts/one"
    git(tmp_path, "init", "-q", "--bare", str(module))
    for directory in (source, module):
        for key, value in {
            "remote.origin.url": "https://ana:s3cret@example.invalid/site.git?private_token=s3cret",
            "remote.origin.fetch": "+refs/heads/*:refs/remotes/origin/*",
            'remote.odd "name" \\ here.url': "/srv/git/a b.git",
            "remote.origin.pushurl": "https://ana:s3cret@example.invalid/site.git",
            "http.extraHeader": "Authorization: Basic s3cret",
            "http.https://example.invalid.extraHeader": "Authorization: Basic s3cret",
            "url.https://ana:s3cret@example.invalid/.insteadOf": "https://example.invalid/",
            "credential.helper": "store --file /root/s3cret",
            "core.sshCommand": "ssh -i /root/s3cret",
            "core.quotePath": "false",
            "branch.main.remote": "origin",
            "branch.pushed.remote": "https://ana:s3cret@example.invalid/site.git",
            "remote.https://ana:s3cret@example.invalid/site.git.fetch": "+refs/heads/*:refs/remotes/origin/*",
        }.items():
            git(directory, "config", key, value)
    (source / ".git/config.worktree").write_text('[http]\n\textraHeader = "s3cret"\n[core]\n\tsymlinks\n')
    for directory in (source / ".git", module):
        (directory / "logs").mkdir(exist_ok=True)
        (directory / "logs/HEAD").write_text("pull https://ana:s3cret@example.invalid/site.git: Fast-forward\n")
        (directory / "FETCH_HEAD").write_text("branch 'main' of https://ana:s3cret@example.invalid/site\n")
    work = filled(tmp_path, source)
    assert not [path for path in work.rglob("*") if path.is_file() and b"s3cret" in path.read_bytes()]
    for directory in (work, work / ".git/modules/parts/one"):
        assert git(directory, "config", "--local", "remote.origin.url") == "https://example.invalid/site.git\n"
        assert git(directory, "config", "--local", 'remote.odd "name" \\ here.url') == "/srv/git/a b.git\n"
        assert git(directory, "config", "--local", "core.quotePath") == "false\n"
        assert git(directory, "config", "--local", "branch.main.remote") == "origin\n"
    assert git(work, "config", "--file", ".git/config.worktree", "--type=bool", "core.symlinks") == "true\n"
    assert git(work, "log", "--format=%s") == "x\n"
    assert b"s3cret" in (source / ".git/config").read_bytes()


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("https://token@example.invalid/a@b.git", "https://example.invalid/a@b.git"),
        ("https://ana:p@ss@example.invalid/a.git", "https://example.invalid/a.git"),
        ("ssh://git@example.invalid:22/a.git", "ssh://example.invalid:22/a.git"),
        ("git@example.invalid:a.git", "git@example.invalid:a.git"),
        ("/srv/a@b.git", "/srv/a@b.git"),
    ],
)
def test_of_a_url_the_user_is_left_out(url: str, seen: str) -> None:
    assert repository_copy.without_user(url) == seen
