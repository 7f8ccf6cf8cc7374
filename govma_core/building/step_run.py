"""Runs one step of a build in a tree of its own, and tells what it made and what it opened."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from govma_core.building import installed, outputs, step_tree, tree_snapshot, work_dir
from govma_core.building.build_script import BuildJob
from govma_core.building.outputs import Open, Outputs
from govma_core.building.read_watch import ReadWatch
from govma_core.building.tree_files import TreeFiles
from govma_core.fs import safefs
from govma_core.reporting import Reporter
from govma_core.settings.build_steps import BuildStep

if TYPE_CHECKING:
    from govma_core.building.builder import Builder


@dataclass(frozen=True, slots=True)
class StepRun:
    """What came of running a step, which took `seconds`.

    `opened` are paths of its tree, also such that were not there; `unseen` says in a word why these are not all, ''
    when they are. `has_installed` when it, or a step beside it, changed node_modules.
    """

    outputs: Outputs
    opened: frozenset[str]
    unseen: str
    has_installed: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class StepRunner:
    """Runs steps of one build, also side by side; their trees lie in `trees_fd`, which is at `trees_path`."""

    run_id: str
    builder: Builder
    owner: tuple[int, int] | None
    work_fd: int
    trees_fd: int
    trees_path: Path
    node_modules: Path

    def run(
        self,
        step: BuildStep,
        files: TreeFiles,
        earlier: Sequence[tuple[Outputs, Open]],
        reporter: Reporter,
        *,
        watched: bool,
    ) -> StepRun:
        """Run a step on the work dir's files with what `earlier` ones made, which are `files` together.

        BuildError when it fails.
        """
        began = time.monotonic()
        trees_fd, name = self.trees_fd, step.name
        step_tree.copy_tree(self.work_fd, trees_fd, name, self.owner, reporter.cancellation.check)
        with safefs.opened(trees_fd, name) as tree:
            for others, open_file in earlier:
                others.put(tree, open_file, self.owner)
            before = tree_snapshot.take(tree)
            modules_before = installed.contents(self.node_modules) if watched else ""
            watch = ReadWatch(tree, files.paths) if watched else None
            try:
                work_dir.lend(tree, self.owner)
                job = BuildJob(self.run_id, name, self.trees_path / name, tree, step.command)
                reporter.info(f"$ {step.command}")
                self.builder.build(job, reporter)
            finally:
                try:
                    opened = watch.end() if watch else frozenset()
                finally:
                    work_dir.take_back(tree)
            made = outputs.find_outputs(before, tree, self._builder_uid)
        modules = installed.contents(self.node_modules) if watched else ""
        # What it gave another name, or removed, may have been read by that; of what it made it may have looked whether
        # it was there.
        opened |= {*made.files, *made.links, *made.folders, *made.removed}
        has_installed = modules is None or modules != modules_before
        return StepRun(made, opened, watch.problem if watch else "", has_installed, time.monotonic() - began)

    def opener(self, name: str) -> Open:
        """Return how what a step made is opened, in its tree."""
        return outputs.opener(self.trees_fd, name, self._builder_uid)

    @property
    def _builder_uid(self) -> int | None:
        return self.owner[0] if self.owner else None
