"""The assets stage of a deploy: each step of the build is taken from the cache, or run in a tree of its own.

Steps without a recorded result run as many at a time as may, each as soon as those that it comes after have ended. What
they made is put into the work dir at the end. The install command comes before all of them; it is left out while what
it reads is the same and node_modules is as it left it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from govma_core.building import installed, outputs, step_tree, work_dir
from govma_core.building.parallel_steps import ParallelSteps, Work
from govma_core.building.step_run import StepRun, StepRunner
from govma_core.building.tree_files import TreeFiles
from govma_core.context import Context
from govma_core.deploy.step_records import StepRecords, StepResult, reason
from govma_core.errors import BuildError, UnsafeTreeError
from govma_core.fs import safefs
from govma_core.reporting import StageRemark
from govma_core.settings.build_steps import INSTALL, BuildStep, order
from govma_core.text.language import marked
from govma_core.versions.manifest import StepOrigin

if TYPE_CHECKING:
    from govma_core.building.builder import Builder


@dataclass(frozen=True, slots=True)
class Assets:
    """Where the assets come from: the builder's identity, `built` or `reused from <run>`, and each step."""

    builder_id: str
    origin: str
    steps: tuple[StepOrigin, ...]


def prepare_builder(context: Context, builder: Builder, work_fd: int) -> str:
    """Have the builder ready for the commit whose files are in the work dir, and return its identity."""
    folder: Path | None = None
    name = context.settings.builder_context
    with suppress(FileNotFoundError, UnsafeTreeError), safefs.opened(work_fd, *Path(name).parts):
        folder = context.settings.work_dir / name
    return builder.prepare(folder, context.reporter)


def make_assets(context: Context, builder: Builder, work_fd: int, *, rebuild: bool) -> Assets:
    """Put the assets below `data` of the work dir, in the assets stage; with `rebuild` every step runs."""
    with context.reporter.stage("assets") as remark:
        identity = prepare_builder(context, builder, work_fd)
        with _steps(context, builder, work_fd, identity, rebuild=rebuild) as steps:
            steps.run()
            # Others may have had to pass through it.
            work_dir.take_back(work_fd)
            files = steps.collect()
        origins = tuple(result.origin for result in steps.results_in_order())
        if not all(origin.run for origin in origins):
            return Assets(identity, "built", origins)
        remark.note("{count} files reused; nothing was built", count=files)
        # What `assets --verify` installs is recorded, too.
        runs = [origin.run for origin in origins if origin.name != INSTALL] or [origin.run for origin in origins]
        return Assets(identity, marked("reused from {run}").format(run=max(runs)), origins)


def compare_with_recorded(context: Context, builder: Builder, work_fd: int) -> dict[str, list[str] | None]:
    """Run all steps on the files in the work dir; return by step what differs from its record, which is dropped.

    None where a step has no record on these files. Steps that always run are left out.
    """
    with context.reporter.stage("assets"):
        identity = prepare_builder(context, builder, work_fd)
        with _steps(context, builder, work_fd, identity, rebuild=True, recording=False) as steps:
            steps.run()
            return steps.drop_different()


@contextmanager
def _steps(
    context: Context, builder: Builder, work_fd: int, identity: str, *, rebuild: bool, recording: bool = True
) -> Iterator[_Steps]:
    settings = context.settings
    is_passed = settings.builder == "local"
    with step_tree.trees_for(settings.work_dir, work_fd, context.reporter, is_passed=is_passed) as (trees_fd, path):
        modules = settings.node_modules_dir
        runner = StepRunner(context.run_id, builder, context.build_owner, work_fd, trees_fd, path, modules)
        records = StepRecords(context, f"{settings.builder}:{identity}", rebuild=rebuild, recording=recording)
        yield _Steps(context, runner, records)


class _Steps:
    """The steps of one build, each reused or run."""

    def __init__(self, context: Context, runner: StepRunner, records: StepRecords) -> None:
        self._settings, self._reporter = context.settings, context.reporter
        self._runner, self._records = runner, records
        install = BuildStep(name=INSTALL, command=self._settings.install_command)
        self._steps = {step.name: step for step in (install, *self._settings.steps) if step.command.strip()}
        after = order(self._settings.steps)
        # What comes after the most comes last.
        self._after = {name: after[name] for name in sorted(after, key=lambda name: len(after[name]))}
        self._files = TreeFiles.of(runner.work_fd)
        self._reasons: dict[str, StepOrigin] = {}
        self._results: dict[str, StepResult] = {}

    def run(self) -> None:
        """Have a result for every step; BuildError for one that fails, and for two that contradict each other."""
        self._records.check_settings(self._files)
        if INSTALL in self._steps and not self._is_recorded(INSTALL):
            self._runner.builder.prepare_modules(self._reporter)
            self._run_install()
        # What comes after a step that runs is looked up when that has ended.
        for name, others in self._after.items():
            if others <= self._results.keys():
                self._is_recorded(name)
        if self._reasons.keys() - {INSTALL}:
            self._require_installed()
        # With the builder of this machine node_modules is in one tree at a time.
        jobs = 1 if self._settings.builder == "local" else self._settings.build_jobs or os.cpu_count() or 1
        is_line = all(len(others) == number for number, others in enumerate(self._after.values()))
        ParallelSteps(self._reporter, self._begin, self._end, most=jobs, labels=not is_line).run(self._after)
        self._records.record_installation()
        self._refuse_clashes()

    def collect(self) -> int:
        """Put what the steps made below data/ into the work dir; return the number of files."""
        files = 0
        for result in self.results_in_order():
            made = result.outputs.below("data")
            made.put(self._runner.work_fd, result.open, self._runner.owner)
            files += len(made.files)
        if not files:
            self._reporter.warning(
                "The build changed no file below data/. Are install_command and build_commands right?"
            )
        return files

    def drop_different(self) -> dict[str, list[str] | None]:
        """Compare what the steps made with what is recorded, and drop what differs; see compare_with_recorded()."""
        different: dict[str, list[str] | None] = {}
        for name in self._after:
            step, result, files = self._steps[name], self._results[name], self._files_for(name)
            if step.inputs is False:
                continue
            # Nobody finds what the last ones made beside the site.
            folder = "data" if self._is_last(name) else ""
            paths_of_each = list(self._records.drop_different(step, result, files, folder))
            different[name] = sorted({path for paths in paths_of_each for path in paths}) if paths_of_each else None
        return different

    def results_in_order(self, names: Collection[str] | None = None) -> list[StepResult]:
        """Return the results of these steps (None: of all), each after those of the steps that it comes after."""
        present = [name for name in (INSTALL, *self._after) if name in self._results]
        return [self._results[name] for name in present if names is None or name in names]

    def _is_recorded(self, name: str) -> bool:
        """Take the recorded result of a step; otherwise note why it has to run."""
        if any(result.has_installed for result in self.results_in_order(self._after.get(name, ()))):
            self._reasons[name] = StepOrigin(name=name, why="patched")
            return False
        result = self._records.find(self._steps[name], self._files_for(name), is_last=self._is_last(name))
        if isinstance(result, StepOrigin):
            self._reasons[name] = result
            return False
        self._keep(name, result)
        return True

    def _is_last(self, name: str) -> bool:
        return not any(name in others for others in self._after.values())

    def _keep(self, name: str, result: StepResult) -> None:
        self._results[name] = result
        if name == INSTALL:
            self._records.installation = result

    def _require_installed(self) -> None:
        """Run the install command before the first step that runs, unless node_modules is as it left it."""
        result = self._results.get(INSTALL)
        if result is not None and not result.origin.run:
            return
        self._runner.builder.prepare_modules(self._reporter)
        if result is None:
            return
        if result.modules and result.modules == installed.state(self._settings.node_modules_dir):
            with self._reporter.stage(f"assets/{INSTALL}") as remark:
                remark.skip("node_modules is as run {run} left it", run=result.origin.run)
            return
        self._reasons[INSTALL] = StepOrigin(name=INSTALL, why="modules")
        # What was found so far was so for what had been installed, and is looked up again at its turn.
        self._results.clear()
        self._run_install()

    def _run_install(self) -> None:
        steps = ParallelSteps(self._reporter, lambda name, _: self._work(name), self._end, most=1, labels=False)
        steps.run({INSTALL: ()})

    def _begin(self, name: str, remark: StageRemark) -> Work[StepRun] | None:
        """Return what is to be done for a step; None when its result is there."""
        if name in self._results or (name not in self._reasons and self._is_recorded(name)):
            result = self._results[name]
            remark.note("{count} files reused from run {run}", count=len(result.outputs.files), run=result.origin.run)
            return None
        return self._work(name)

    def _work(self, name: str) -> Work[StepRun]:
        step, files = self._steps[name], self._files_for(name)
        self._reporter.info("{name} runs: {reason}.", name=name, reason=reason(self._reasons[name]))
        earlier = [(result.outputs, result.open) for result in self.results_in_order(self._earlier(name))]
        watched = bool(self._settings.asset_inputs)
        return lambda reporter: self._runner.run(step, files, earlier, reporter, watched=watched)

    def _end(self, name: str, remark: StageRemark, run: StepRun) -> None:
        """Take what a step made, and record it."""
        modules = installed.state(self._settings.node_modules_dir) if name == INSTALL else ""
        opener, files = self._runner.opener(name), self._files_for(name)
        self._keep(name, self._records.take(self._steps[name], run, self._reasons[name], opener, files, modules))

    def _earlier(self, name: str) -> set[str]:
        """Return the steps whose results a step finds in its tree."""
        return set() if name == INSTALL else {INSTALL, *self._after[name]}

    def _files_for(self, name: str) -> TreeFiles:
        files = self._files
        for result in self.results_in_order(self._earlier(name)):
            files = files.after(result.outputs)
        return files

    def _refuse_clashes(self) -> None:
        for first, second in combinations(self._after, 2):
            made = [self._results[name].outputs for name in (first, second)]
            if not any({first, second} <= others for others in self._after.values()):
                # Nobody finds what they made beside the site.
                made = [each.below("data") for each in made]
            paths = outputs.clashes(*made) if first not in self._after[second] else []
            if paths:
                raise BuildError(
                    "The steps {first} and {second} made {path!r} each in its own way. Let one come after the other "
                    "(`after` in build.steps), or have only one of them make it.",
                    first=first,
                    second=second,
                    path=paths[0],
                )
