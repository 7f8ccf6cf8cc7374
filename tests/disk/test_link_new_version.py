"""Linking a new version: which files of a new version become links, and which never."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from govma_core.disk.link_new_version import Links, link_tree
from govma_core.fs import safefs
from govma_core.text.globs import globs
from govma_core.versions.contents import FileRecord
from tests.support.rights import as_root

SINGLE = globs(["config/**"])


def tree(root: Path, files: dict[str, bytes]) -> Path:
    for path, content in files.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    return root


def link(new: Path, *others: Path) -> Links:
    fds = [os.open(path, safefs.DIRECTORY_FLAGS) for path in (new, *others)]
    try:
        return link_tree(fds[0], fds[1:], SINGLE)
    finally:
        for fd in fds:
            os.close(fd)


def sealed(links: Links) -> dict[str, FileRecord]:
    """Return what is in the tree, as the record would have it."""
    return {path: FileRecord(*entry) for part in links.parts for path, entry in json.loads(f"{{{part}}}").items()}


def same(one: Path, other: Path) -> bool:
    return one.stat().st_ino == other.stat().st_ino


def test_equal_files_of_the_live_version_are_linked(tmp_path: Path) -> None:
    live = tree(tmp_path / "live", {"a.php": b"same", "deep/er/b.js": b"x" * 700_000, "c.css": b"old"})
    new = tree(tmp_path / "new", {"a.php": b"same", "deep/er/b.js": b"x" * 700_000, "c.css": b"new", "d": b"same"})
    before = (live / "a.php").stat().st_mtime_ns
    links = link(new, live)
    assert same(new / "a.php", live / "a.php")
    assert same(new / "deep/er/b.js", live / "deep/er/b.js")
    assert (new / "c.css").read_bytes() == b"new"
    assert not same(new / "d", live / "a.php"), "another path"
    assert (live / "a.php").stat().st_mtime_ns == before
    assert links.linked == 2
    assert links.saved == sum((new / path).stat().st_blocks * 512 for path in ("a.php", "deep/er/b.js"))
    assert set(sealed(links)) == {"a.php", "deep/er/b.js", "c.css", "d"}
    assert sorted(os.listdir(new)) == ["a.php", "c.css", "d", "deep"], "no stray names"


def test_a_miss_walks_back_through_older_versions(tmp_path: Path) -> None:
    oldest = tree(tmp_path / "oldest", {"a": b"first", "b": b"1"})
    older = tree(tmp_path / "older", {"a": b"other", "b": b"2"})
    live = tree(tmp_path / "live", {"a": b"third"})
    new = tree(tmp_path / "new", {"a": b"first", "b": b"2"})
    assert link(new, live, older, oldest).linked == 2
    assert same(new / "a", oldest / "a")
    assert same(new / "b", older / "b")


def test_what_is_written_in_place_stays_single(tmp_path: Path) -> None:
    files = {"config/config.php": b"<?php", "config/deep/x": b"1"}
    live, new = tree(tmp_path / "live", files), tree(tmp_path / "new", files)
    assert link(new, live).linked == 0
    assert (new / "config/config.php").stat().st_nlink == 1


@pytest.mark.parametrize("difference", ["mode", "xattr", "size", "empty"])
def test_a_difference_keeps_them_apart(tmp_path: Path, difference: str) -> None:
    live, new = tree(tmp_path / "live", {"a": b"same"}), tree(tmp_path / "new", {"a": b"same"})
    match difference:
        case "mode":
            (new / "a").chmod(0o600)
        case "xattr":
            os.setxattr(new / "a", "user.origin", b"here")
        case "size":
            (new / "a").write_bytes(b"same but longer")
        case "empty":
            (live / "a").write_bytes(b"")
            (new / "a").write_bytes(b"")
    assert link(new, live).linked == 0


@as_root
def test_another_owner_keeps_them_apart(tmp_path: Path) -> None:
    live, new = tree(tmp_path / "live", {"a": b"same"}), tree(tmp_path / "new", {"a": b"same"})
    os.chown(new / "a", 33, 33)
    assert link(new, live).linked == 0


def test_a_master_that_is_being_written_is_not_linked_to(tmp_path: Path) -> None:
    live, new = tree(tmp_path / "live", {"a": b"same"}), tree(tmp_path / "new", {"a": b"same"})
    with (live / "a").open("r+b"):
        assert link(new, live).linked == 0
    assert link(new, live).linked == 1


def test_links_and_directories_in_the_way_are_not_followed(tmp_path: Path) -> None:
    outside = tree(tmp_path / "outside", {"a": b"same", "b": b"same"})
    live = tmp_path / "live"
    live.mkdir()
    (live / "a").symlink_to(outside / "a")
    (live / "d").symlink_to(outside)
    new = tree(tmp_path / "new", {"a": b"same", "d/b": b"same"})
    (new / "link").symlink_to("a")
    links = link(new, live)
    assert links.linked == 0
    assert sealed(links)["link"].digest == "a"


def test_two_names_of_one_file_in_the_new_tree_stay_one_file(tmp_path: Path) -> None:
    live, new = tree(tmp_path / "live", {"a": b"same", "b": b"same"}), tree(tmp_path / "new", {"a": b"same"})
    os.link(new / "a", new / "b")
    link(new, live)
    assert same(new / "a", new / "b")
