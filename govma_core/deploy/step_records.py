"""What is recorded of the steps of builds: whether one can be reused, and what is recorded of one that ran."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from govma_core.building import inputs, installed, outputs
from govma_core.building.asset_cache import AssetCache, CacheEntry, DamagedEntryError, step_key
from govma_core.building.inputs import Inputs
from govma_core.building.outputs import Open, Outputs
from govma_core.building.read_watch import REPOSITORY
from govma_core.building.step_run import StepRun
from govma_core.building.tree_files import TreeFiles
from govma_core.context import Context
from govma_core.deploy.commit_files import no_inputs
from govma_core.errors import PreflightError
from govma_core.settings.build_steps import AUTO, INSTALL, BuildStep
from govma_core.text.clean import clean_line
from govma_core.text.language import tr
from govma_core.versions.manifest import StepOrigin

_MOST_NAMED = 5
_MOST_KEPT = 50
"""Changed paths that a manifest keeps of a step."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step made, how that is opened, and where it comes from.

    `inputs_id` stands for what it read in the keys of others, '' when that is not known. `modules` is the state of
    node_modules after the install command. `has_installed` when another step changed what is in there.
    """

    outputs: Outputs
    open: Open
    origin: StepOrigin
    inputs_id: str = ""
    modules: str = ""
    has_installed: bool = False


class StepRecords:
    """The records for one build. `installation` is the result of the install command, None where there is none."""

    def __init__(self, context: Context, builder_id: str, *, rebuild: bool, recording: bool) -> None:
        settings = context.settings
        self._settings, self._reporter, self._run_id = settings, context.reporter, context.run_id
        self._builder_id = builder_id
        self._rebuild, self._recording = rebuild, recording
        self._cache = AssetCache(settings.state_dir, settings.asset_cache_keep * (1 + len(settings.steps)))
        self.installation: StepResult | None = None
        self._record_installation: Callable[[], None] | None = None

    def check_settings(self, files: TreeFiles) -> None:
        """Say what the settings mean for this build; PreflightError when no glob of asset_inputs fits a file."""
        if not self._settings.asset_inputs:
            self._reporter.info("The asset cache is off (asset_inputs is empty); the assets are built.")
        elif self._rebuild and self._recording:
            self._reporter.info("The assets are built because of --rebuild.")
        for name in self._cache.drop_damaged() if self._settings.asset_inputs else ():
            self._reporter.warning("A record in the asset cache ({name}) is damaged; it is removed.", name=name)
        patterns = () if self._settings.asset_inputs == AUTO else self._settings.asset_inputs
        unmatched = inputs.unmatched(patterns, files.files())
        if patterns and len(unmatched) == len(patterns):
            raise PreflightError([no_inputs(unmatched)])
        if unmatched:
            self._reporter.warning(no_inputs(unmatched))
        for step in self._settings.steps:
            if isinstance(step.inputs, tuple) and (unmatched := inputs.unmatched(step.inputs, files.files())):
                self._reporter.warning(
                    "inputs of the step {name}: no file of the repository fits {globs}. Correct the setting.",
                    name=step.name,
                    globs=", ".join(unmatched),
                )

    def find(self, step: BuildStep, files: TreeFiles, *, is_last: bool) -> StepResult | StepOrigin:
        """Return the recorded result of a step that would find these files; without one, why it runs.

        `is_last` when no other step comes after it.
        """
        if why := self._unconditional(step):
            return StepOrigin(name=step.name, why=why)
        origin = StepOrigin(name=step.name, why="new")
        for entry in self._cache.entries(self._key(step)):
            # What only globs name is not in what was seen, nor the other way round.
            if entry.inputs.globs != self._globs(step):
                continue
            changed = entry.inputs.changed(files)
            if not changed and self._is_whole(entry):
                if is_last or not self._has_installed:
                    taken = StepOrigin(name=step.name, run=entry.run)
                    return StepResult(entry.outputs, entry.open, taken, _hash_of(entry.inputs), entry.note)
                return StepOrigin(name=step.name, why="installed")
            # That which was used last is what people compare with.
            if changed and origin.why == "new":
                origin = replace(origin, why="changed", changed=tuple(changed[:_MOST_KEPT]))
        return origin

    def take(
        self, step: BuildStep, run: StepRun, reason: StepOrigin, open_file: Open, files: TreeFiles, modules: str
    ) -> StepResult:
        """Record a step that ran on these files; return its result. `modules` is that of StepResult.

        The install command is recorded by record_installation(), which whoever asks for other steps has to call.
        """
        read, unrecorded, unnamed = self._inputs(step, run, files)
        origin = replace(reason, seconds=round(run.seconds, 3), unrecorded=unrecorded, unnamed=unnamed)
        if unrecorded:
            self._reporter.warning(unrecorded_sentence(origin))
        has_installed = run.has_installed and step.name != INSTALL
        if has_installed:
            # What it changed is in none of them: that it had nothing to change counts only until it has.
            for entry in self._cache.entries(self._key(step)):
                self._cache.drop(entry)
        if read is not None and step.name == INSTALL:
            read = self._joined_with_recorded(read, step, files)
        if read is not None:
            key = self._key(step)
            record = partial(self._cache.record, key, self._run_id, read, run.outputs, open_file, files, modules)
            if step.name == INSTALL:
                self._record_installation = record
            elif self._recording:
                self._record(record)
        inputs_id = _hash_of(read) if read else ""
        return StepResult(run.outputs, open_file, origin, inputs_id, modules, has_installed)

    def record_installation(self) -> None:
        """Record the install command, if it ran, once all steps have ended.

        Recorded before, it would be passed over by the deploy after one that failed, and with it the steps that come
        before others, whose changes of node_modules it may have undone. What is installed is so whatever a run is for.
        """
        if self._record_installation is not None:
            self._record(self._record_installation)

    def _record(self, record: Callable[[], None]) -> None:
        try:
            record()
        except OSError as error:
            self._reporter.warning(
                "The build could not be recorded in the asset cache: {strerror}.", strerror=error.strerror
            )

    def drop_different(self, step: BuildStep, result: StepResult, files: TreeFiles, folder: str) -> Iterator[list[str]]:
        """Compare what a step made in a folder ('' for all) with each record of it on these files.

        Yields the paths that differ, and drops a record for which there are some.
        """
        for entry in self._cache.entries(self._key(step)):
            if not entry.inputs.changed(files):
                paths = outputs.differences(entry.outputs.below(folder), result.outputs.below(folder))
                if paths:
                    self._cache.drop(entry)
                yield paths

    def _joined_with_recorded(self, read: Inputs, step: BuildStep, files: TreeFiles) -> Inputs:
        """Return what a step read, now or when it was recorded on the same files: what is there already is not read."""
        for entry in self._cache.entries(self._key(step)):
            if not entry.inputs.changed(files):
                read = read.joined(entry.inputs)
        return read

    def _unconditional(self, step: BuildStep) -> str:
        """Return why a step runs whatever is recorded; '' when that may be reused."""
        if not self._settings.asset_inputs:
            return "off"
        if self._rebuild:
            return "rebuild" if self._recording else "verify"
        if step.inputs is False:
            return "always"
        return "" if self._is_installation_known(step) else "install"

    @property
    def _has_installed(self) -> bool:
        return self.installation is not None and not self.installation.origin.run

    def _is_installation_known(self, step: BuildStep) -> bool:
        return step.name == INSTALL or bool(self._installation_id)

    @property
    def _installation_id(self) -> str:
        # Without a command of ours it is others who install, or a step: it is recorded with what it has installed.
        return self.installation.inputs_id if self.installation else installed.state(self._settings.node_modules_dir)

    def _key(self, step: BuildStep) -> str:
        if step.name == INSTALL:
            return step_key(step.command, self._builder_id)
        return step_key(step.command, self._builder_id, self._settings.install_command, self._installation_id)

    def _globs(self, step: BuildStep) -> tuple[str, ...] | None:
        if step.name == INSTALL or (self._settings.asset_inputs == AUTO and not step.inputs):
            return None
        return step.inputs if isinstance(step.inputs, tuple) else self._settings.asset_inputs

    def _is_whole(self, entry: CacheEntry) -> bool:
        try:
            self._cache.verify(entry)
        except DamagedEntryError as error:
            self._reporter.warning("The assets are built again: {error}.", error=error)
            self._cache.drop(entry)
            return False
        return True

    def _inputs(self, step: BuildStep, run: StepRun, files: TreeFiles) -> tuple[Inputs | None, str, tuple[str, ...]]:
        """Return what a step read; None, and perhaps in a word and paths why, when it is not to be recorded."""
        if not self._settings.asset_inputs or step.inputs is False or not self._is_installation_known(step):
            return None, "", ()
        if run.unseen:
            return None, run.unseen, ()
        if run.has_installed and step.name != INSTALL:
            return None, "modules", ()
        if any(path == REPOSITORY or path.endswith(f"/{REPOSITORY}") for path in run.opened):
            return None, "repository", ()
        patterns = self._globs(step)
        if patterns is None:
            return inputs.seen(files, run.opened), "", ()
        read = inputs.named(files, patterns, run.opened)
        if unnamed := inputs.unnamed(read, files, run.opened):
            return None, "unnamed", tuple(unnamed[:_MOST_KEPT])
        return read, "", ()


def unrecorded_sentence(origin: StepOrigin) -> str:
    """Say why a step that ran cannot be reused."""
    if origin.unrecorded == "unnamed":
        return tr(
            "{name} read {paths}, which its inputs do not name; it is not recorded, and runs at each deploy. Name "
            'them (asset_inputs, or inputs in build.steps), or set asset_inputs = "auto".',
            name=origin.name,
            paths=listed(origin.unnamed, _MOST_KEPT),
        )
    why = {
        "modules": tr(
            "node_modules was changed while it ran, by it or a step beside it (leave that to install_command)"
        ),
        "repository": tr("it read the repository (.git), which differs with each commit"),
        "watches": tr("there are not enough watches of folders (fs.inotify.max_user_watches)"),
        "instances": tr("no further watch could be opened (fs.inotify.max_user_instances)"),
        "queue": tr("it opened more at once than the kernel keeps (fs.inotify.max_queued_events)"),
        "unseen": tr("what it opens is not seen on this machine"),
    }.get(origin.unrecorded, tr("its folders cannot be watched"))
    return tr("{name} is not recorded for the next deploys: {why}.", name=origin.name, why=why)


def reason(origin: StepOrigin) -> str:
    """Say in a few words why a step ran."""
    match origin.why:
        case "changed":
            return tr("{paths} changed", paths=listed(origin.changed))
        case "new":
            return tr("nothing is recorded of this command, builder and installation")
        case "always":
            return tr("its inputs are false")
        case "install":
            return tr("what is installed in node_modules is not known")
        case "installed":
            return tr("install_command ran, and a later step may need what this one does to node_modules")
        case "patched":
            return tr("a step before it changed node_modules")
        case "modules":
            return tr("node_modules is not as it left it")
        case "rebuild":
            return "--rebuild"
        case "verify":
            return "--verify"
    return tr("the asset cache is off (asset_inputs is empty)")


def listed(paths: Sequence[str], most: int = _MOST_NAMED) -> str:
    """Return the first few paths for a sentence; of a folder, which ends with a slash, its names are meant."""
    shown = ", ".join(_shown(path) for path in paths[:most])
    return f"{shown}, …" if len(paths) > most else shown


def _shown(path: str) -> str:
    if path == "/":
        return tr("the names in the top folder")
    return tr("the names in {path}", path=clean_line(path)) if path.endswith("/") else clean_line(path)


def _hash_of(read: Inputs) -> str:
    """Return a hash of the contents that were read, and of the names below data/; each step has the others itself."""
    names = {path: names for path, names in read.folders.items() if path.partition("/")[0] == "data"}
    text = json.dumps([read.files, names], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
