"""Two small versions, the later one live, and what is asked of them."""

from __future__ import annotations

import os
from pathlib import Path

from govma_core.versions.store import VersionStore

OLD, NEW = "data-build--2021-09-03-00h03m29s", "data-build--2022-01-02-03h04m05s"
_FILES = ("html/index.php", "html/a/one", "html/a/b/two", "system/three")


def small_store(directory: Path) -> VersionStore:
    """Make the versions in a new directory."""
    for name in (OLD, NEW):
        for file in _FILES:
            path = directory / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file)
    (directory / "current-version").symlink_to(NEW)
    return VersionStore(directory)


def names(store: VersionStore) -> list[str]:
    """Return all names in the versions directory."""
    return sorted(os.listdir(store.directory))


def hidden(store: VersionStore) -> list[str]:
    """Return the hidden ones."""
    return [name for name in names(store) if name.startswith(".")]


def whole(tree: Path) -> bool:
    """Tell whether a version is as it was made."""
    return all((tree / file).read_text() == file for file in _FILES)


def switch_by_hand(store: VersionStore) -> None:
    """Make the older version live as a person does."""
    (store.directory / "current-version").unlink()
    (store.directory / "current-version").symlink_to(OLD)


def add_records(state: Path) -> list[Path]:
    """Write all records that OLD can have when it is removed; give their paths."""
    paths = [state / "versions" / f"{OLD}.json", state / "contents" / f"{OLD}.json.z", state / "marks" / f"{OLD}.json"]
    for path in paths:
        path.parent.mkdir()
        path.write_text("{}")
    return paths
