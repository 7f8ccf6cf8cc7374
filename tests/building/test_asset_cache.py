"""Recorded steps: found by their key and inputs, verified, bounded."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from govma_core.building.asset_cache import AssetCache, DamagedEntryError, step_key
from govma_core.building.inputs import Inputs
from govma_core.building.outputs import Outputs
from govma_core.building.tree_files import TreeFiles
from govma_core.fs import safefs

KEY = "a" * 64
CONTENT = "compiled"
OUTPUTS = Outputs({"data/html/new.css": (hashlib.sha256(CONTENT.encode()).hexdigest(), 0o644)}, {}, {}, ("data/old",))


@pytest.fixture
def cache(tmp_path: Path) -> AssetCache:
    return AssetCache(tmp_path / "state", 3)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tree").mkdir()
    return tmp_path / "tree"


def record(cache: AssetCache, tree: Path, key: str = KEY, run: str = "run-1", **files: str) -> None:
    """Record a step that read files with these contents, which are put into the tree."""
    for name, content in files.items():
        (tree / name).write_text(content)
    made = tree.parent / "made"
    made.write_text(CONTENT)
    with safefs.opened_root(tree) as fd:
        tree_files = TreeFiles.of(fd)
        inputs = Inputs({name: tree_files.content(name) for name in files}, {})
        cache.record(key, run, inputs, OUTPUTS, lambda path: os.open(made, os.O_RDONLY), tree_files, "a note")


def test_an_entry_comes_back_as_it_was_recorded(cache: AssetCache, tree: Path) -> None:
    record(cache, tree, source="one")
    (entry,) = cache.entries(KEY)
    cache.verify(entry)
    assert (entry.run, entry.note, entry.outputs) == ("run-1", "a note", OUTPUTS)
    with os.fdopen(entry.open("data/html/new.css")) as file:
        assert file.read() == CONTENT
    with safefs.opened_root(tree) as fd:
        assert entry.inputs.changed(TreeFiles.of(fd)) == []
        (tree / "source").write_text("two")
        assert entry.inputs.changed(TreeFiles.of(fd)) == ["source"]
    assert cache.entries("b" * 64) == []


def test_nothing_is_recorded_at_first(cache: AssetCache) -> None:
    assert cache.entries(KEY) == []


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_damaged_file_is_found_out_before_anything_is_taken(
    cache: AssetCache, tree: Path, tmp_path: Path, damage: str
) -> None:
    record(cache, tree)
    (entry,) = cache.entries(KEY)
    (file,) = (path for path in entry.directory.iterdir() if path.name != "index.json")
    if damage == "changed":
        file.write_text("tampered")
    else:
        file.unlink()
    with pytest.raises(DamagedEntryError):
        cache.verify(entry)


@pytest.mark.parametrize("index", ["{", "[]", '{"run": "x"}', '{"key": "' + KEY + '", "inputs": 3, "outputs": {}}'])
def test_an_index_that_is_damaged_or_half_written_is_no_entry(cache: AssetCache, tree: Path, index: str) -> None:
    record(cache, tree)
    (entry,) = cache.entries(KEY)
    (entry.directory / "index.json").write_text(index)
    assert cache.entries(KEY) == []
    record(cache, tree)
    assert len(cache.entries(KEY)) == 1


def test_the_entries_used_last_are_kept(cache: AssetCache, tree: Path, tmp_path: Path) -> None:
    keys = [letter * 64 for letter in "abcd"]
    for number, key in enumerate(keys[:3]):
        record(cache, tree, key)
        (entry,) = cache.entries(key)
        os.utime(entry.directory, (number + 1, number + 1))
    cache.verify(cache.entries(keys[0])[0])
    record(cache, tree, keys[3])
    assert [bool(cache.entries(key)) for key in keys] == [True, False, True, True]


def test_a_step_with_the_same_inputs_is_recorded_once(cache: AssetCache, tree: Path) -> None:
    record(cache, tree, run="run-1", source="one")
    record(cache, tree, run="run-2", source="two")
    record(cache, tree, run="run-3", source="two")
    assert [entry.run for entry in cache.entries(KEY)] == ["run-3", "run-1"]


def test_what_a_killed_run_was_recording_and_entries_of_an_older_format_go(
    cache: AssetCache, tree: Path, tmp_path: Path
) -> None:
    (tmp_path / "state/assets/.new-0123").mkdir(parents=True)
    (tmp_path / "state/assets" / KEY).mkdir()
    (tmp_path / "state/assets" / KEY / "index.json").write_text('{"run": "x", "files": {}, "removed": []}')
    assert cache.entries(KEY) == []
    record(cache, tree)
    assert [path.name[:3] for path in (tmp_path / "state/assets").iterdir()] == ["v2-"]


def test_the_key_depends_on_each_part_and_where_it_ends() -> None:
    keys = {step_key("a", "b", "c"), step_key("a", "bc", ""), step_key("ab", "", "c"), step_key("a", "b", "d")}
    assert len(keys) == 4
    assert step_key("a", "b", "c") in keys
