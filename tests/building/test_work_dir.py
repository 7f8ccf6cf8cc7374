"""The work dir: what of the checkout the build gets to see, and how the note that it is ours comes about."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from govma_core.building import work_dir
from govma_core.errors import UnsafeTreeError
from tests.support.rights import as_root


def git(directory: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=directory, check=True, capture_output=True, text=True).stdout


def filled(tmp_path: Path, source: Path) -> Path:
    work, state = tmp_path / "work", tmp_path / "state"
    state.mkdir()
    with work_dir.emptied(work, state) as fd:
        os.mkdir(".git", dir_fd=fd)
        work_dir.copy_repository(fd, source / ".git", None, lambda: None)
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
    assert work_dir.without_user(url) == seen


def test_the_note_is_whole_at_any_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full while it is written must not make a work dir of ours somebody else's for ever."""
    work, state = tmp_path / "work", tmp_path / "state"
    state.mkdir()
    with work_dir.emptied(work, state):
        pass
    (work / "half").touch()
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", _full)
        with work_dir.emptied(work, state):
            pass
    (work / "half").touch()
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", _full)
        with pytest.raises(OSError, match="No space"):
            work_dir.emptied(tmp_path / "other", state).__enter__()
    assert work_dir.preflight(work, state) == []


_open = os.open


def _full(path: str | Path, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
    if flags & os.O_CREAT:
        raise OSError(28, "No space left on device")
    return _open(path, flags, mode, dir_fd=dir_fd)


@as_root
@pytest.mark.root
def test_what_is_mounted_in_the_work_dir_is_not_emptied(tmp_path: Path) -> None:
    work, state, people = tmp_path / "work", tmp_path / "state", tmp_path / "people"
    for folder in (work / "data/a", state, people):
        folder.mkdir(parents=True)
    (people / "photo").write_text("people's")
    subprocess.run(["mount", "--bind", people, work / "data/a"], check=True)
    try:
        with pytest.raises(UnsafeTreeError, match="mounted at 'a'"):
            work_dir.emptied(work, state).__enter__()
        assert (people / "photo").read_text() == "people's"
    finally:
        subprocess.run(["umount", work / "data/a"], check=True)
    with work_dir.emptied(work, state):
        assert os.listdir(work) == []
