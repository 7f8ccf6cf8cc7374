"""Thawing: what is written in place gets inodes of its own, with everything as it was."""

from __future__ import annotations

import os
import threading
import time
import types
from collections.abc import Sequence
from pathlib import Path

import pytest

from govma_core.disk.unshare import Unshared, shared_files, unshare
from govma_core.fs import safefs, trees
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
