"""Thawing: what is written in place gets inodes of its own, with everything as it was."""

from __future__ import annotations

import errno
import os
import threading
import time
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from govma_core.disk.unshare import Unshared, shared_files, unshare
from govma_core.fs import leases, safefs, trees
from govma_core.fs.walk import walk
from tests.support.rights import as_root

PATTERNS = ("config/**", "html/.htaccess", ".env")


def versions(tmp_path: Path) -> tuple[Path, Path]:
    old, new = tmp_path / "old", tmp_path / "new"
    for path in ("config/config.php", "config/deep/er.php", "html/.htaccess", "html/a/.htaccess", "index.php", ".env"):
        (old / path).parent.mkdir(parents=True, exist_ok=True)
        (old / path).write_text(path)
        (new / path).parent.mkdir(parents=True, exist_ok=True)
        os.link(old / path, new / path)
    return old, new


def unshared(version: Path, staging: Path, patterns: Sequence[str] = PATTERNS) -> Unshared:
    staging.mkdir(exist_ok=True)
    fd, place = (os.open(path, safefs.DIRECTORY_FLAGS) for path in (version, staging))
    try:
        return unshare(fd, patterns, lambda: place)
    finally:
        os.close(fd)
        os.close(place)
        assert os.listdir(staging) == []


def test_only_what_fits_gets_its_own_inode(tmp_path: Path) -> None:
    old, new = versions(tmp_path)
    (new / "config/config.php").chmod(0o640)
    os.utime(new / "config/config.php", (1_000, 2_000))
    os.setxattr(new / "config/config.php", "user.origin", b"here")
    fd = os.open(new, safefs.DIRECTORY_FLAGS)
    assert sorted(shared_files(fd, PATTERNS)) == [".env", "config/config.php", "config/deep/er.php", "html/.htaccess"]
    result = unshared(new, tmp_path / "staging")
    assert (result.files, result.still_shared) == (4, {})
    assert shared_files(fd, PATTERNS) == {}
    os.close(fd)
    for path in ("index.php", "html/a/.htaccess"):
        assert (new / path).samefile(old / path)
    mine, theirs = (new / "config/config.php").stat(), (old / "config/config.php").stat()
    assert mine.st_ino != theirs.st_ino
    assert (mine.st_mode, mine.st_uid, mine.st_mtime_ns) == (theirs.st_mode, theirs.st_uid, theirs.st_mtime_ns)
    assert os.getxattr(new / "config/config.php", "user.origin") == b"here"
    with (new / "config/config.php").open("r+") as file:
        file.write("CMS")
    assert (old / "config/config.php").read_text() == "config/config.php"


def test_nothing_to_do_asks_for_no_staging(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.php").write_text("x")
    fd = os.open(tmp_path, safefs.DIRECTORY_FLAGS)
    assert unshare(fd, PATTERNS, lambda: pytest.fail("staging was asked for")) == Unshared()
    os.close(fd)


@as_root
def test_owner_mode_and_times_stay_whoever_the_file_belongs_to(tmp_path: Path) -> None:
    """Guards the CMS, which could not write its configuration any more, and what only its group may read."""
    old, new = versions(tmp_path)
    kinds = {
        "config/config.php": (1234, 33, 0o640),
        "config/deep/er.php": (33, 1234, 0o2755),
        "html/.htaccess": (33, 33, 0o4755),
        ".env": (1234, 1234, 0o600),
    }
    for number, (path, (uid, gid, mode)) in enumerate(kinds.items()):
        os.chown(new / path, uid, gid)
        (new / path).chmod(mode)
        os.utime(new / path, ns=(number * 10**9 + 1, number * 10**9 + 123_456_789))
    os.chown(new / "config/deep", 33, 54321)
    (new / "config/deep").chmod(0o2775)
    before, folder = {path: (old / path).stat() for path in kinds}, (new / "config/deep").stat()
    assert unshared(new, tmp_path / "staging").files == len(kinds)
    for path, expected in kinds.items():
        for info in ((new / path).stat(), (old / path).stat()):
            assert (info.st_uid, info.st_gid, info.st_mode & 0o7777) == expected, path
            assert info.st_mtime_ns == before[path].st_mtime_ns
        assert (new / path).stat().st_atime_ns == before[path].st_atime_ns
        assert (new / path).read_text() == path
    after = (new / "config/deep").stat()
    assert (after.st_uid, after.st_gid, after.st_mode) == (folder.st_uid, folder.st_gid, folder.st_mode)


def test_without_an_exchange_of_names_a_rename_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards file systems that cannot exchange two names (some FUSE, old NFS)."""
    monkeypatch.setattr(safefs, "rename_exchange", lambda *names, **directories: False)
    old, new = versions(tmp_path)
    assert unshared(new, tmp_path / "staging") == Unshared(4, {})
    assert not (new / ".env").samefile(old / ".env")
    assert (new / ".env").read_text() == (old / ".env").read_text() == ".env"


@pytest.mark.parametrize("by_rename", [False, True])
def test_what_is_written_again_and_again_is_left_to_its_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_rename: bool
) -> None:
    _, new = versions(tmp_path)
    target = new / "config/config.php"
    texts = iter(f"saved {number}" for number in range(100))

    def copy_then_write(src: int, dst: int) -> None:
        trees.copy_content(src, dst)
        if by_rename:
            (tmp_path / "saved").write_text(next(texts))
            (tmp_path / "saved").rename(target)
        else:
            target.write_text(next(texts))

    monkeypatch.setattr("govma_core.disk.unshare.trees", types.SimpleNamespace(copy_content=copy_then_write))
    # Without leases, as for files of other users: the writer does not wait.
    monkeypatch.setattr(leases, "take", lambda fd: None)
    result = unshared(new, tmp_path / "staging", ("config/config.php",))
    assert result.still_shared == {"config/config.php": "it is being written again and again"}
    assert (result.files, target.read_text()) == (0, "saved 4")


def test_without_leases_what_nobody_writes_gets_its_own_inode_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, new = versions(tmp_path)
    monkeypatch.setattr(leases, "take", lambda fd: None)
    assert unshared(new, tmp_path / "staging") == Unshared(4, {})


@pytest.mark.parametrize("when", ["listed", "opened"])
@pytest.mark.parametrize("change", ["gone", "folder gone", "link", "folder is a link"])
def test_what_the_cms_takes_away_meanwhile_shares_nothing_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, when: str
) -> None:
    """Guards the switch from a CMS that clears its caches."""
    old, new = versions(tmp_path)
    file, aside, opened = new / "config/deep/er.php", tmp_path / "aside", safefs.opened

    def take_away() -> None:
        if aside.exists():
            return
        path = file.parent if "folder" in change else file
        path.rename(aside)
        if "link" in change:
            path.symlink_to(aside)

    def listed(*arguments: Any, **more: Any) -> Any:
        for path, entries in walk(*arguments, **more):
            if path == "config/deep":
                take_away()
            yield path, entries

    def opened_late(fd: int, *names: str) -> Any:
        if names:
            take_away()
        return opened(fd, *names)

    if when == "listed":
        monkeypatch.setattr("govma_core.disk.unshare.walk", listed)
    else:
        monkeypatch.setattr(safefs, "opened", opened_late)
    assert unshared(new, tmp_path / "staging").still_shared == {}
    assert (old / "config/deep/er.php").read_text() == "config/deep/er.php"
    assert not (new / ".env").samefile(old / ".env")


def test_what_cannot_be_copied_with_its_attributes_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards a file that would lose its access list, and the operator who would not know that it is still shared."""
    old, new = versions(tmp_path)
    os.setxattr(new / ".env", "user.origin", b"here")

    def fail(*arguments: object) -> bytes:
        raise OSError(errno.ENODATA, "No data available")

    monkeypatch.setattr(os, "getxattr", fail)
    assert unshared(new, tmp_path / "staging") == Unshared(3, {".env": "changed meanwhile"})
    assert (new / ".env").samefile(old / ".env")


@as_root
def test_what_is_immutable_is_named_and_the_rest_gets_inodes_of_its_own(tmp_path: Path) -> None:
    _, new = versions(tmp_path)
    target = new / "config/config.php"
    if os.system(f"chattr +i {target} 2>/dev/null") != 0:
        pytest.skip("this file system has no immutable files")
    try:
        result = unshared(new, tmp_path / "staging")
    finally:
        os.system(f"chattr -i {target}")
    assert result.files == 3
    assert list(result.still_shared) == ["config/config.php"]


@pytest.mark.parametrize("saved_by", ["in place", "rename"])
def test_what_is_written_while_it_is_copied_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved_by: str
) -> None:
    _, new = versions(tmp_path)
    target = new / "config/config.php"
    copied = 0
    writers: list[threading.Thread] = []

    def copy_then_write(src: int, dst: int) -> None:
        nonlocal copied
        copied += 1
        trees.copy_content(src, dst)
        if copied == 1 and saved_by == "in place":
            # Its open() waits for the lease to be given up.
            writers.append(threading.Thread(target=target.write_text, args=["saved by the CMS"]))
            writers[0].start()
            time.sleep(0.2)
        elif copied == 1:
            (tmp_path / "saved").write_text("saved by the CMS")
            (tmp_path / "saved").rename(target)

    monkeypatch.setattr(
        "govma_core.disk.unshare.trees", types.SimpleNamespace(copy_content=copy_then_write), raising=True
    )
    result = unshared(new, tmp_path / "staging", ("config/config.php",))
    for writer in writers:
        writer.join()
    assert result.still_shared in ({}, {"config/config.php": "somebody has it open for writing"})
    assert target.read_text() == "saved by the CMS"
    assert target.stat().st_nlink == 1 + len(result.still_shared)


def test_links_are_not_followed(tmp_path: Path) -> None:
    old, new = versions(tmp_path)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/x").write_text("x")
    os.link(tmp_path / "outside/x", tmp_path / "outside/y")
    (new / "config/out").symlink_to(tmp_path / "outside")
    (new / "config/file").symlink_to(tmp_path / "outside/x")
    assert unshared(new, tmp_path / "staging").files == 4
    assert (tmp_path / "outside/x").stat().st_nlink == 2
    assert (old / "index.php").stat().st_nlink == 2
