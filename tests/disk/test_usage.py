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

from govma_core.context import Context
from govma_core.disk.usage import account, last_measured, measure
from govma_core.settings import Settings
from tests.support.du import assert_is_du, du
from tests.support.random_trees import Tree, make_tree, versions

NAMES = ["v1", "v2", "v3", "v4"]
_SETTINGS = settings(max_examples=40, suppress_health_check=list(HealthCheck))
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
    for folder, _, files in os.walk(os.fsencode(master)):
        for name in files:
            path = os.path.join(folder, name)
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
        usage = measure(directory, names, workers=workers)
        assert [version.name for version in usage.versions] == names
        assert_is_du(usage, directory)
        assert usage.unread == 0
        event(f"something shared: {any(version.shared for version in usage.versions)}")


@_SETTINGS
@given(trees=versions(), links=_links, data=st.data())
def test_the_price_of_a_set_is_what_its_removal_frees(
    trees: list[Tree], links: list[tuple[int, int]], data: st.DataObject
) -> None:
    with drawn(trees, links) as (directory, outside, names):
        usage = measure(directory, names)
        removed = data.draw(st.sets(st.sampled_from(names), min_size=1))
        for name in names:
            assert usage.freed_by([name]) == next(
                version.exclusive for version in usage.versions if version.name == name
            )
        assert usage.freed_by(removed) >= sum(usage.freed_by([name]) for name in removed)

        def taken() -> int:
            # The directory of the versions itself may shrink; that is nobody's price.
            return du(directory, outside) - directory.stat().st_blocks * 512

        before = taken()
        for name in removed:
            shutil.rmtree(directory / name)
        assert usage.freed_by(removed) == before - taken()


def test_only_what_is_there_and_a_directory_is_a_version(tmp_path: Path) -> None:
    for name in ("v1", "elsewhere"):
        (tmp_path / "www" / name).mkdir(parents=True)
        (tmp_path / "www" / name / "a").write_bytes(b"x" * 5000)
    directory = tmp_path / "www"
    (tmp_path / "www/elsewhere").rename(tmp_path / "elsewhere")
    (directory / "v2").symlink_to("v1")
    (directory / "v3").symlink_to(tmp_path / "elsewhere")
    (directory / "v4").write_bytes(b"x" * 9000)
    names = ["v4", "v3", "v2", "v1", "gone"]
    usage = measure(directory, names)
    assert [version.name for version in usage.versions] == ["v1"]
    assert_is_du(usage, directory)
    assert usage.freed_by(["gone", "v2", "v3"]) == 0


def test_without_versions(tmp_path: Path) -> None:
    usage = measure(tmp_path, [])
    assert (usage.versions, usage.real, usage.unlinked) == ((), 0, 0)
    assert usage.others == du(tmp_path)
    room = os.statvfs(tmp_path)
    assert usage.capacity == room.f_blocks * room.f_frsize
    assert 0 < usage.free <= usage.capacity
    with pytest.raises(FileNotFoundError):
        measure(tmp_path / "gone", [])


SITE_VERSIONS = ["data-build--2024-01-02-10h00m00s", "data-build--2024-01-01-10h00m00s"]


@pytest.fixture
def site(tmp_path: Path) -> Settings:
    """Make two versions that share a file, and return the settings."""
    for name in SITE_VERSIONS:
        (tmp_path / "www" / name / "html").mkdir(parents=True)
        (tmp_path / "www" / name / "html/own").write_bytes(b"x" * 5000)
    new, old = (tmp_path / "www" / name / "html/shared" for name in SITE_VERSIONS)
    old.write_bytes(b"x" * 50_000)
    new.hardlink_to(old)
    return Settings(versions_dir=tmp_path / "www", state_dir=tmp_path / "state")


def test_the_last_result_is_shown_until_the_next_account(site: Settings) -> None:
    assert last_measured(site.state_dir, site.versions_dir) == {}
    usage = account(Context.for_reading(site))
    assert_is_du(usage, site.versions_dir)
    expected = {version.name: version for version in usage.versions}
    assert list(expected) == SITE_VERSIONS
    (site.versions_dir / SITE_VERSIONS[0] / "html/own").write_bytes(b"x" * 90_000)
    assert last_measured(site.state_dir, site.versions_dir) == expected
    again = account(Context.for_reading(site))
    assert_is_du(again, site.versions_dir)
    assert last_measured(site.state_dir, site.versions_dir) == {version.name: version for version in again.versions}
    assert os.listdir(site.state_dir) == ["usage.json"]


def test_the_last_result_is_of_the_same_directories_only(site: Settings, tmp_path: Path) -> None:
    account(Context.for_reading(site))
    new, old = (site.versions_dir / name for name in SITE_VERSIONS)
    shutil.copytree(new, tmp_path / "copy")
    shutil.rmtree(new)
    assert list(last_measured(site.state_dir, site.versions_dir)) == [old.name]
    (tmp_path / "copy").rename(new)
    assert list(last_measured(site.state_dir, site.versions_dir)) == [old.name]
    shutil.rmtree(new)
    new.symlink_to(old)
    assert list(last_measured(site.state_dir, site.versions_dir)) == [old.name]
    assert last_measured(site.state_dir, tmp_path) == {}
    assert last_measured(site.state_dir, tmp_path / "gone") == {}


@pytest.mark.parametrize("content", ["", "{", "[1]", "{}", '{"inode": %d, "versions": [{"usage": {}}]}'])
def test_a_damaged_result_is_no_result_and_is_replaced(site: Settings, content: str) -> None:
    site.state_dir.mkdir()
    path = site.state_dir / "usage.json"
    path.write_text(content.replace("%d", str(site.versions_dir.stat().st_ino)))
    assert last_measured(site.state_dir, site.versions_dir) == {}
    account(Context.for_reading(site))
    assert list(last_measured(site.state_dir, site.versions_dir)) == SITE_VERSIONS


def test_a_result_that_cannot_be_stored_is_given_all_the_same(site: Settings) -> None:
    site.state_dir.write_text("in the way")
    assert_is_du(account(Context.for_reading(site)), site.versions_dir)
    assert last_measured(site.state_dir, site.versions_dir) == {}


def test_what_earlier_releases_remembered_is_ignored_and_removed(site: Settings) -> None:
    remembered = site.state_dir / "usage"
    remembered.mkdir(parents=True)
    (remembered / "summary").write_bytes(b'00000000\n{"versions": []}')
    (remembered / "seals").write_bytes(b"govma-console usage 1\n")
    assert last_measured(site.state_dir, site.versions_dir) == {}
    account(Context.for_reading(site))
    assert list(last_measured(site.state_dir, site.versions_dir)) == SITE_VERSIONS
    assert not remembered.exists()
