"""The account with its cache: the same numbers as without, and as `du`, whatever happened to the versions meanwhile."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from govma_core.disk import usage, usage_cache, usage_walk
from govma_core.disk.usage import last_measured, measure
from tests.support.usage_world import FILES, World, numbers

pytestmark = pytest.mark.usefixtures("short_margin")


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Three versions that share most, the last one live, measured often enough that all others are sealed."""
    world = World(tmp_path)
    first = world.create()
    second = world.create(first)
    world.current = world.create(second)
    world.measure()
    return world


@pytest.fixture
def walked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of versions that were walked, as they are."""
    names: list[str] = []
    real = usage_walk.Walker.version

    def version(self: usage_walk.Walker, name: str, bit: int) -> object:
        names.append(name)
        return real(self, name, bit)

    monkeypatch.setattr(usage_walk.Walker, "version", version)
    return names


_names = st.integers(0, 5)
_files = st.sampled_from(FILES)
_steps = st.one_of(
    st.tuples(st.just("create"), _names),
    st.tuples(st.just("link"), _names, _names, _files),
    st.tuples(st.just("link"), _names, _names, _files),
    st.tuples(st.just("remove"), _names),
    st.tuples(st.just("grow"), _files),
    st.tuples(st.just("grow"), _files),
    st.tuples(st.just("unlink"), _names, _files),
    st.tuples(st.just("promote"), _names),
    st.tuples(st.just("nothing")),
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(st.tuples(_steps, st.integers(1, 2)), min_size=3, max_size=9))
def test_after_any_sequence_the_cache_tells_the_truth(steps: list[tuple[tuple[Any, ...], int]]) -> None:
    with tempfile.TemporaryDirectory(prefix="govma-usage-") as folder:
        world = World(Path(folder))
        first = world.create()
        world.create(first)
        world.current = world.create(first)
        world.measure()
        for step, workers in steps:
            what, picked = step[0], [world.names[n % len(world.names)] if isinstance(n, int) else n for n in step[1:]]
            match what:
                case "create":
                    world.create(picked[0])
                case "link":
                    world.link(*picked)
                case "remove" if picked[0] != world.current:
                    world.remove(picked[0])
                case "grow" if (world.directory / world.current / picked[0]).exists():
                    world.grow(picked[0])
                case "unlink":
                    world.unlink(*picked)
                case "promote":
                    world.current = picked[0]
            sealed = usage_cache.load(world.cache / "seals", world.directory.stat())
            event(f"sealed before: {len(sealed.parts)}")
            world.check(workers)


def test_only_the_live_version_is_walked_again(world: World, walked: list[str]) -> None:
    world.check()
    walked.clear()
    world.measure()
    world.measure()
    assert walked == [world.current] * 2
    walked.clear()
    world.measure(rescan=True)
    assert sorted(walked) == sorted(world.names)


def test_nothing_is_summed_up_again_when_nothing_changed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    (world.directory / "by-hand").write_bytes(b"x")
    (world.outside / "by-hand").hardlink_to(world.directory / "by-hand")
    (world.directory / "v3/html/twice").hardlink_to(world.directory / "v3/html/index.php")
    truth = world.check()
    summed = []

    def counted(*given: Any) -> Any:
        summed.append(given)
        return usage.sums(*given)

    monkeypatch.setattr("govma_core.disk.usage.sums", counted)
    for workers in (1, 2):
        again = world.measure(workers=workers)
        assert (numbers(again), again.prices) == (numbers(truth), truth.prices)
    assert summed == []
    world.names.reverse()
    assert [found.name for found in world.measure().versions] == ["v3", "v2", "v1"]
    for change in (
        lambda: world.grow("html/index.php"),
        lambda: world.grow("system/b"),
        lambda: world.link("v1", "v2", "html/index.php"),
        lambda: (world.outside / "by-hand").unlink(),
        lambda: (world.directory / "by-hand").write_bytes(b"x" * 9000),
        lambda: world.unlink("v3", "html/twice"),
    ):
        change()
        world.check()
        world.check()


def test_a_changed_directory_is_walked_again(world: World, walked: list[str]) -> None:
    changes: dict[str, Callable[[], None]] = {
        "v1": lambda: world.unlink("v1", "html/a/style.css"),
        "v2": lambda: world.link("v3", "v2", "html/index.php"),
    }
    for name, change in changes.items():
        change()
        walked.clear()
        world.measure()
        assert sorted(walked) == sorted([name, world.current])
        world.check()


def test_a_version_that_changed_just_now_is_not_sealed(
    world: World, walked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_walk, "SETTLED_NS", 3_600_000_000_000)
    world.measure(rescan=True)
    walked.clear()
    shutil.rmtree(world.cache)
    world.measure()
    world.measure()
    assert sorted(walked) == sorted(world.names * 2)


def test_the_version_that_was_live_is_sealed_one_time_later(world: World, walked: list[str]) -> None:
    world.current = "v1"
    world.measure()
    # PHP may still serve v3 from its cache, and write to it.
    assert "v3" not in usage_cache.load(world.cache / "seals", world.directory.stat()).stored
    world.grow("html/index.php", "v3")
    world.check()
    assert "v3" in usage_cache.load(world.cache / "seals", world.directory.stat()).stored
    walked.clear()
    world.measure()
    assert walked == ["v1"]


def test_what_is_removed_and_linked_meanwhile_changes_what_the_others_have(world: World) -> None:
    before = world.check()
    shared = before.freed_by(["v1", "v2", "v3"]) - sum(found.exclusive for found in before.versions)
    assert shared > 0
    world.remove("v2")
    world.check()
    world.remove("v1")
    after = world.check()
    assert after.versions[0].exclusive == after.versions[0].size
    world.create("v3")
    assert world.check().versions[0].exclusive < after.versions[0].exclusive


def test_an_inode_that_a_sealed_version_had_for_itself_is_found_when_it_is_linked(world: World) -> None:
    alone = world.check().versions[0].exclusive
    world.link("v1", "v3", "html/index.php")
    usage = world.check()
    assert usage.versions[0].exclusive < alone
    assert world.check().versions[0].exclusive == usage.versions[0].exclusive


def test_links_elsewhere_are_noticed_when_they_come_and_when_they_go(world: World) -> None:
    before = world.check()
    backup = world.outside / "backup"
    shutil.copytree(world.directory, backup, copy_function=os.link)
    during = world.check()
    assert all(found.exclusive < was.exclusive for found, was in zip(during.versions, before.versions, strict=True))
    shutil.rmtree(backup)
    assert numbers(world.check()) == numbers(before)


def test_links_elsewhere_of_what_only_sealed_versions_share_are_noticed(world: World) -> None:
    # More files than there are samples.
    for number in range(40):
        for version in ("v1", "v2"):
            (world.directory / version / "many" / str(number)).mkdir(parents=True)
        path = world.directory / f"v1/many/{number}/file"
        path.write_bytes(b"x" * 5000)
        (world.directory / f"v2/many/{number}/file").hardlink_to(path)
    world.current = world.create()
    world.measure()
    before = world.check()
    backup = world.outside / "backup"
    shutil.copytree(world.directory / "v1/many", backup, copy_function=os.link)
    during = world.check()
    assert during.freed_by(world.names) <= before.freed_by(world.names) - 40 * 5000
    shutil.rmtree(backup)
    assert numbers(world.check()) == numbers(before)


def test_links_in_what_is_no_version_are_links_elsewhere(world: World) -> None:
    (world.directory / "by-hand").mkdir()
    (world.directory / "by-hand/index.php").hardlink_to(world.directory / "v1/html/index.php")
    (world.directory / ".hidden").hardlink_to(world.directory / "v2/system/b")
    world.check()
    world.check()
    shutil.rmtree(world.directory / "by-hand")
    world.check()


def test_growth_of_a_sealed_version_shows_in_samples_with_rescan_or_after_a_day(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(40):
        path = world.directory / f"v1/html/many/{number}/file{number}"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")
    before = world.check().versions[0]
    samples = {
        found.name for found in usage_cache.load(world.cache / "seals", world.directory.stat()).parts["v1"].samples
    }
    sampled, other = (
        next(f"html/many/{n}/file{n}" for n in range(40) if (f"file{n}" in samples) == wanted)
        for wanted in (True, False)
    )
    # The limit of the cache: a single file that grew where nobody should write any more.
    world.grow(other, "v1")
    assert world.measure().versions[0] == before
    assert world.measure(rescan=True).versions[0].size > before.size
    before = world.check().versions[0]
    world.grow(other, "v1")
    assert world.measure().versions[0] == before
    monkeypatch.setattr(usage_cache, "OLDEST", 0.0)
    world.check()
    monkeypatch.setattr(usage_cache, "OLDEST", 3600.0)
    world.check()
    world.grow(sampled, "v1")
    world.check()


def test_growth_through_the_live_version_is_in_the_seals_of_those_that_share_the_file(world: World) -> None:
    world.check()
    world.grow("system/b")
    world.check()
    inode = (world.directory / "v1/system/b").stat()
    rows = usage_cache.load(world.cache / "seals", world.directory.stat()).load_rows().rows
    assert rows[inode.st_dev][inode.st_ino] == (inode.st_blocks, inode.st_size, 0)


def test_a_replaced_version_is_not_taken_for_the_old_one(world: World) -> None:
    world.check()
    shutil.copytree(world.directory / "v1", world.outside / "copy")
    shutil.rmtree(world.directory / "v1")
    assert "v1" not in last_measured(world.cache)
    (world.outside / "copy").rename(world.directory / "v1")
    world.grow("html/index.php", "v1")
    assert "v1" not in last_measured(world.cache)
    world.check()


@pytest.mark.parametrize("name", ["seals", "summary"])
def test_a_damaged_cache_costs_time_and_nothing_else(world: World, name: str) -> None:
    truth = numbers(world.check())
    path = world.cache / name
    content = path.read_bytes()
    damages = [b"", b"\0" * len(content), content[: len(content) // 2], content + b"more", b"{}", b"[1]"]
    for place in range(0, len(content), max(1, len(content) // 16)):
        damages.append(content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :])
    for damage in damages:
        path.write_bytes(damage)
        last_measured(world.cache)
        found = measure(world.directory, world.names, current=world.current, cache_dir=world.cache, workers=1)
        assert numbers(found) == truth
        world.link("v1", "v3", "html/index.php")
        path.write_bytes(damage)
        world.check()
        world.unlink("v3", "html/index.php")
        (world.directory / "v3/html/index.php").write_bytes(b"x")
        path.write_bytes(content)
        truth = numbers(world.check())
        content = path.read_bytes()


def test_a_cache_that_cannot_be_written_is_done_without(world: World, tmp_path: Path) -> None:
    truth = numbers(world.fresh())
    (tmp_path / "file").write_text("in the way")
    world.cache = tmp_path / "file" / "usage"
    assert numbers(world.measure()) == truth
    assert last_measured(world.cache) == {}
    world.cache = tmp_path / "taken"
    world.cache.mkdir()
    (world.cache / "seals").mkdir()
    (world.cache / "summary").mkdir()
    assert numbers(world.measure()) == truth
    assert [name for name in os.listdir(world.cache) if name.startswith(".")] == []


def test_what_a_killed_measurement_left_is_cleared(world: World) -> None:
    (world.cache / ".seals-0123456789abcdef").write_bytes(b"half")
    world.link("v1", "v2", "html/index.php")
    world.measure()
    assert sorted(os.listdir(world.cache)) == ["seals", "summary"]


def test_seals_of_what_is_gone_are_removed(world: World) -> None:
    sealed = usage_cache.load(world.cache / "seals", world.directory.stat())
    assert set(sealed.stored) == {"v1", "v2"}
    world.remove("v1")
    world.measure()
    assert set(usage_cache.load(world.cache / "seals", world.directory.stat()).stored) == {"v2"}


def test_seals_of_another_directory_are_not_used(world: World, tmp_path: Path) -> None:
    world.check()
    shutil.copytree(world.directory, tmp_path / "copy")
    world.directory = tmp_path / "copy"
    world.check()
    assert last_measured(world.cache, tmp_path / "www") == {}


def test_what_was_measured_last_is_given_at_once(world: World) -> None:
    usage = world.check()
    assert last_measured(world.cache) == {found.name: found for found in usage.versions}
    assert last_measured(world.cache, world.directory) == last_measured(world.cache)
    assert last_measured(world.outside) == {}
    shutil.rmtree(world.directory / "v2")
    (world.directory / "v2").symlink_to("v1")
    assert list(last_measured(world.cache)) == ["v1", "v3"]
    shutil.rmtree(world.directory)
    assert last_measured(world.cache) == {}
