"""Clearing trees in which others work, and sweeping hidden names: only what is ours goes."""

from __future__ import annotations

import os
import shutil
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from govma_core.errors import UnsafeTreeError
from govma_core.fs import safefs
from govma_core.fs.trees import make_marked, remove
from govma_core.versions.remove import sweep
from govma_core.versions.store import VersionStore
from tests.support.small_store import NEW, OLD, names, small_store, whole


@pytest.fixture
def store(tmp_path: Path) -> VersionStore:
    return small_store(tmp_path / "www_versions")


def test_a_directory_inside_that_becomes_a_link_is_not_followed(store: VersionStore, tmp_path: Path) -> None:
    """Guards the removal itself: the CMS may still write in a version that is being removed."""
    outside = tmp_path / "outside"
    shutil.copytree(store.directory / NEW, outside)
    stop = threading.Event()
    tree = store.directory / OLD

    def exchange() -> None:
        while not stop.is_set():
            try:
                (tree / "html").mkdir(parents=True, exist_ok=True)
                (tree / "html/a").mkdir(exist_ok=True)
                (tree / "html/a").rename(tree / "html/x")
                (tree / "html/a").symlink_to(outside)
                (tree / "html/a").unlink()
            except OSError:
                continue

    thread = threading.Thread(target=exchange)
    thread.start()
    try:
        with safefs.opened_root(store.directory) as fd:
            for _ in range(300):
                with suppress(OSError, UnsafeTreeError):
                    remove(fd, OLD)
    finally:
        stop.set()
        thread.join()
    assert whole(outside)


def test_the_sweep_says_what_each_was_and_keeps_what_is_not_ours(store: VersionStore) -> None:
    number = "0123456789abcdef"
    other = number[::-1]
    (store.directory / f".govma-link-{number}").symlink_to("/etc")
    (store.directory / f".govma-staging-{other}").mkdir()
    mine = [".mine", ".govma-removed-hand-made", "govma-removed-0123456789abcdef", f".govma-removed-{number}x"]
    for name in mine:
        (store.directory / name).mkdir()
    with safefs.opened_root(store.directory) as fd:
        for prefix in ("incoming", "staging", "removed"):
            os.close(make_marked(fd, f".govma-{prefix}-{number}"))
            (store.directory / f".govma-{prefix}-{number}/deep").mkdir()
        kept = sweep(fd, spare=["govma-removed"])
        assert f".govma-removed-{number}" in names(store)
        swept = sweep(fd)
    assert [found.name.split("-")[1] for found in kept] == ["incoming", "link", "staging", "staging"]
    assert [found.name for found in swept] == [f".govma-removed-{number}"]
    assert "was being removed" in swept[0].what
    assert names(store) == sorted([*mine, OLD, NEW, "current-version"])


@pytest.mark.parametrize("prefix", ["incoming", "staging", "removed", "link"])
def test_what_only_has_such_a_name_is_left_alone_and_named(store: VersionStore, prefix: str) -> None:
    """Who may write there can rename root's directory so, and root would remove what he may not."""
    theirs = store.directory / f".govma-{prefix}-0123456789abcdef"
    theirs.mkdir(mode=0o700)
    (theirs / "backup").write_text("root's")
    other = store.directory / f".govma-{prefix}-fedcba9876543210"
    other.write_text("a file")
    with safefs.opened_root(store.directory) as fd:
        swept = sweep(fd)
    assert {(found.name, found.unremovable) for found in swept} == {(theirs.name, None), (other.name, None)}
    assert (theirs / "backup").read_text() == "root's"
    assert other.read_text() == "a file"
