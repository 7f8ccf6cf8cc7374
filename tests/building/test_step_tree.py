"""The trees of steps: each is a whole copy of the work dir, also when they are made at the same time."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from govma_core.building import step_tree
from govma_core.fs import safefs

_FILES = [f"file-{number}" for number in range(12)]


def test_trees_that_are_made_at_the_same_time_have_every_file(tmp_path: Path) -> None:
    """Guards that threads do not share their position in the listing of the work dir."""
    work, trees = tmp_path / "work", tmp_path / "trees"
    work.mkdir()
    trees.mkdir()
    for name in _FILES:
        (work / name).touch()
    with safefs.opened_root(work) as work_fd, safefs.opened_root(trees) as trees_fd:

        def copy(number: int) -> None:
            step_tree.copy_tree(work_fd, trees_fd, str(number), None, lambda: None)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(copy, range(2000)))
    assert [name for name in os.listdir(trees) if sorted(os.listdir(trees / name)) != sorted(_FILES)] == []
