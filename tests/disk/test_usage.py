"""The account against `du`, and against what a removal really frees, on drawn versions with every kind of entry."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from govma_core.disk import usage_walk
from govma_core.disk.usage import measure
from tests.support.du import assert_is_du, du
from tests.support.random_trees import Tree, make_tree, versions

NAMES = ["v1", "v2", "v3", "v4"]
_SETTINGS = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
_links = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=6)


@contextmanager
def drawn(trees: list[Tree], links: list[tuple[int, int]]) -> Iterator[tuple[Path, Path, list[str]]]:
    """Make versions, odd things beside them and a directory outside; link equal paths of pairs as a dedupe would."""
    with tempfile.TemporaryDirectory(prefix="govma-usage-") as folder:
        directory, outside = Path(folder) / "www", Path(folder) / "outside"
        outside.mkdir()
        directory.mkdir()
        for number, tree in enumerate(trees):
            make_tree(directory / NAMES[number], tree, outside, 1_600_000_000)
        names = NAMES[: len(trees)]
        make_tree(directory / ".hidden", trees[0], outside, 1_600_000_000)
        (directory / "notes.txt").write_text("by hand")
        (directory / "current-version").symlink_to(names[0])
        for one, other in links:
            if one < len(trees) and other < len(trees) and one != other:
                link_equal(directory / NAMES[one], directory / NAMES[other])
        yield directory, outside, names


def link_equal(master: Path, other: Path) -> None:
    """Give every path of a file in both the inode that it has in the first."""
    for found in os.walk(os.fsencode(master)):
        for name in found[2]:
            path = os.path.join(found[0], name)
            twin = os.path.join(os.fsencode(other), os.path.relpath(path, os.fsencode(master)))
            with suppress(FileNotFoundError, NotADirectoryError):
                if all(stat.S_ISREG(os.lstat(path).st_mode) for path in (path, twin)):
                    os.link(path, twin + b".staged")
                    os.rename(twin + b".staged", twin)
                    with suppress(FileNotFoundError):
                        # rename() does nothing where both are one inode already.
                        os.unlink(twin + b".staged")


@_SETTINGS
@given(trees=versions(), links=_links, workers=st.sampled_from((1, 2, 2)))
def test_it_is_what_du_says(trees: list[Tree], links: list[tuple[int, int]], workers: int) -> None:
    with drawn(trees, links) as (directory, _, names):
        usage = measure(directory, names, current=names[-1], cache_dir=None, workers=workers)
        assert [found.name for found in usage.versions] == names
        assert_is_du(usage, directory)
        assert usage.unread == 0
        event(f"something shared: {any(found.shared for found in usage.versions)}")


@_SETTINGS
@given(trees=versions(), links=_links, data=st.data())
def test_the_price_of_a_set_is_what_its_removal_frees(
    trees: list[Tree], links: list[tuple[int, int]], data: st.DataObject
) -> None:
    with drawn(trees, links) as (directory, outside, names):
        usage = measure(directory, names, current=None, cache_dir=None)
        removed = data.draw(st.sets(st.sampled_from(names), min_size=1))
        for name in names:
            assert usage.freed_by([name]) == next(found.exclusive for found in usage.versions if found.name == name)
        assert usage.freed_by(removed) >= sum(usage.freed_by([name]) for name in removed)

        def taken() -> int:
            # The directory of the versions itself may shrink; that is nobody's price.
            return du(directory, outside) - directory.stat().st_blocks * 512

        before = taken()
        for name in removed:
            shutil.rmtree(directory / name)
        assert usage.freed_by(removed) == before - taken()


@_SETTINGS
@given(trees=versions(), links=_links)
def test_every_name_asked_comes_to_the_same(trees: list[Tree], links: list[tuple[int, int]]) -> None:
    with drawn(trees, links) as (directory, _, names), pytest.MonkeyPatch.context() as patch:
        usual = measure(directory, names, current=None, cache_dir=None, workers=1)

        def differ(*_: object) -> list[str]:
            raise usage_walk.InodesDifferError

        patch.setattr(usage_walk.Inodes, "_read", differ)
        found = measure(directory, names, current=None, cache_dir=None, workers=2)
        assert (found.versions, found.real, found.others, found.unlinked, found.prices) == (
            usual.versions, usual.real, usual.others, usual.unlinked, usual.prices,
        )  # fmt: skip


def test_only_what_is_there_and_a_directory_is_a_version(tmp_path: Path) -> None:
    for name in ("v1", "elsewhere"):
        (tmp_path / "www" / name).mkdir(parents=True)
        (tmp_path / "www" / name / "a").write_bytes(b"x" * 5000)
    directory = tmp_path / "www"
    (tmp_path / "www/elsewhere").rename(tmp_path / "elsewhere")
    (directory / "v2").symlink_to("v1")
    (directory / "v3").symlink_to(tmp_path / "elsewhere")
    (directory / "v4").write_bytes(b"x" * 9000)
    wanted = ["v4", "v3", "v2", "v1", "v1", "gone", "", ".", "..", "v1/", "../elsewhere"]
    usage = measure(directory, wanted, current="gone", cache_dir=None)
    assert [found.name for found in usage.versions] == ["v1"]
    assert_is_du(usage, directory)
    assert usage.freed_by(["gone", "v2", "v3"]) == 0


def test_without_versions(tmp_path: Path) -> None:
    usage = measure(tmp_path, [], current=None, cache_dir=None)
    assert (usage.versions, usage.real, usage.unlinked) == ((), 0, 0)
    assert usage.others == du(tmp_path)
    room = os.statvfs(tmp_path)
    assert usage.capacity == room.f_blocks * room.f_frsize
    assert 0 < usage.free <= usage.capacity
    with pytest.raises(FileNotFoundError):
        measure(tmp_path / "gone", [], current=None, cache_dir=None)
