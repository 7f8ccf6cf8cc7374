"""Recorded builds: taken only when everything is as it was, verified, bounded."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from govma_core.building import tree_snapshot
from govma_core.building.asset_cache import AssetCache, DamagedEntryError, cache_key
from govma_core.errors import UnsafeTreeError
from govma_core.fs import safefs

KEY = "a" * 64


def tree(root: Path, name: str) -> Path:
    data = root / name
    (data / "html").mkdir(parents=True)
    (data / "html/old.css").write_text("old")
    (data / "html/gone.js").write_text("gone")
    return data


def build(data: Path) -> tree_snapshot.Changes:
    with safefs.opened_root(data) as fd:
        before = tree_snapshot.take(fd)
        (data / "html/old.css").write_text("compiled")
        (data / "html/gone.js").unlink()
        (data / "html/docs/deep").mkdir(parents=True)
        (data / "html/docs/deep/index.html").write_text("docs")
        (data / "html/docs/tool.sh").write_text("compiled")
        (data / "html/docs/tool.sh").chmod(0o755)
        return tree_snapshot.changes(before, fd)


def record(cache: AssetCache, data: Path, key: str = KEY) -> None:
    changes = build(data)
    with safefs.opened_root(data) as fd:
        cache.record(key, changes, fd, "run-1")


def content(data: Path) -> dict[str, tuple[str, int]]:
    return {
        str(path.relative_to(data)): (path.read_text(), path.stat().st_mode & 0o777)
        for path in data.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def cache(tmp_path: Path) -> AssetCache:
    return AssetCache(tmp_path / "state", 3)


def test_the_outputs_come_back_as_the_build_left_them(cache: AssetCache, tmp_path: Path) -> None:
    built, fresh = tree(tmp_path, "built"), tree(tmp_path, "fresh")
    record(cache, built)
    entry = cache.find(KEY)
    assert entry is not None
    assert (entry.run, set(entry.files)) == (
        "run-1",
        {"html/old.css", "html/docs/deep/index.html", "html/docs/tool.sh"},
    )
    with safefs.opened_root(fresh) as fd:
        cache.restore(entry, fd)
    assert content(fresh) == content(built)


def test_a_key_that_was_never_recorded_is_not_found(cache: AssetCache) -> None:
    assert cache.find(KEY) is None


@pytest.mark.parametrize("damage", ["changed", "missing", "index", "index fields"])
def test_a_damaged_entry_is_found_out_before_anything_is_taken(cache: AssetCache, tmp_path: Path, damage: str) -> None:
    record(cache, tree(tmp_path, "built"))
    directory = tmp_path / "state/assets" / KEY
    file = next(path for path in directory.iterdir() if path.name != "index.json")
    if damage == "changed":
        file.write_text("tampered")
    elif damage == "missing":
        file.unlink()
    elif damage == "index fields":
        (directory / "index.json").write_text('{"run": "x"}')
    else:
        (directory / "index.json").write_text("{")
        assert cache.find(KEY) is None
        return
    with pytest.raises(DamagedEntryError):
        cache.find(KEY)


def test_the_entries_used_last_are_kept(cache: AssetCache, tmp_path: Path) -> None:
    keys = [letter * 64 for letter in "abcd"]
    for number, key in enumerate(keys[:3]):
        record(cache, tree(tmp_path, f"t{number}"), key)
        os.utime(tmp_path / "state/assets" / key, (number + 1, number + 1))
    entry = cache.find(keys[0])
    assert entry is not None
    with safefs.opened_root(tree(tmp_path, "used")) as fd:
        cache.restore(entry, fd)
    record(cache, tree(tmp_path, "t3"), keys[3])
    assert [cache.find(key) is not None for key in keys] == [True, False, True, True]


def test_what_a_killed_run_was_recording_goes(cache: AssetCache, tmp_path: Path) -> None:
    (tmp_path / "state/assets/.new-0123").mkdir(parents=True)
    record(cache, tree(tmp_path, "t"))
    assert os.listdir(tmp_path / "state/assets") == [KEY]


def test_the_key_depends_on_inputs_builder_and_commands_and_not_on_their_order() -> None:
    key = cache_key(["100644 1 a", "100644 2 b"], "docker:sha256:1", ["npm install"])
    assert cache_key(["100644 2 b", "100644 1 a"], "docker:sha256:1", ["npm install"]) == key
    others = [
        cache_key(["100644 1 a"], "docker:sha256:1", ["npm install"]),
        cache_key(["100644 1 a", "100644 3 b"], "docker:sha256:1", ["npm install"]),
        cache_key(["100755 1 a", "100644 2 b"], "docker:sha256:1", ["npm install"]),
        cache_key(["100644 1 a", "100644 2 b"], "docker:sha256:2", ["npm install"]),
        cache_key(["100644 1 a", "100644 2 b"], "docker:sha256:1", ["npm ci"]),
    ]
    assert key not in others
    assert len(set(others)) == len(others)


def test_a_link_put_in_place_of_a_folder_is_not_written_through(cache: AssetCache, tmp_path: Path) -> None:
    record(cache, tree(tmp_path, "built"))
    outside = tmp_path / "outside"
    outside.mkdir()
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    (fresh / "html").symlink_to(outside)
    entry = cache.find(KEY)
    assert entry is not None
    with (
        safefs.opened_root(fresh) as fd,
        pytest.raises(UnsafeTreeError, match="link or a file where a directory must be"),
    ):
        cache.restore(entry, fd)
    assert os.listdir(outside) == []
