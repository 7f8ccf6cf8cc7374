"""The assets stage of a deploy: assets are reused from the cache when nothing has changed, and built otherwise."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from govma_core.building import tree_snapshot, work_dir
from govma_core.building.asset_cache import AssetCache, CacheEntry, DamagedEntryError, cache_key
from govma_core.building.build_script import BuildJob
from govma_core.context import Context
from govma_core.errors import UnsafeTreeError
from govma_core.fs import safefs, trees
from govma_core.reporting import StageRemark
from govma_core.text.language import marked

if TYPE_CHECKING:
    from govma_core.building.builder import Builder


@dataclass(frozen=True, slots=True)
class Assets:
    """Where the assets come from: the builder's identity, and `built` or `reused from <run>`."""

    builder_id: str
    origin: str


def prepare_builder(context: Context, builder: Builder, work_fd: int) -> str:
    """Have the builder ready for the commit whose files are in the work dir, and return its identity."""
    folder: Path | None = None
    name = context.settings.builder_context
    with suppress(FileNotFoundError, UnsafeTreeError), safefs.opened(work_fd, *Path(name).parts):
        folder = context.settings.work_dir / name
    return builder.prepare(folder, context.reporter)


@dataclass(frozen=True, slots=True)
class AssetStage:
    """One execution of the stage; `inputs` is None while the cache is off."""

    context: Context
    builder: Builder
    inputs: list[str] | None

    def execute(self, work_fd: int, *, rebuild: bool) -> Assets:
        """Put the assets below `data` of the work dir."""
        with self.context.reporter.stage("assets") as remark:
            return self._reuse_or_build(work_fd, remark, rebuild=rebuild)

    def _reuse_or_build(self, work_fd: int, remark: StageRemark, *, rebuild: bool) -> Assets:
        settings, reporter = self.context.settings, self.context.reporter
        identity = prepare_builder(self.context, self.builder, work_fd)
        if self.inputs is None:
            reporter.info("The asset cache is off (asset_inputs is empty); the assets are built.")
            self._build(work_fd)
            return Assets(identity, "built")
        cache = AssetCache(settings.state_dir, settings.asset_cache_keep)
        key = cache_key(self.inputs, f"{settings.builder}:{identity}", settings.all_build_commands)
        entry = self._recorded(cache, key, rebuild=rebuild)
        if entry is not None:
            with safefs.opened(work_fd, "data") as data:
                cache.restore(entry, data)
            remark.note("{count} files reused from run {run}; nothing was built", count=len(entry.files), run=entry.run)
            reporter.info(
                "{count} inputs, the builder and its commands are as in run {run}: its {count2} asset files "
                "are reused. --rebuild would build them again.",
                count=len(self.inputs),
                run=entry.run,
                count2=len(entry.files),
            )
            return Assets(identity, marked("reused from {run}").format(run=entry.run))
        changes = self._build(work_fd)
        with safefs.opened(work_fd, "data") as data:
            self._record(cache, key, changes, data)
        return Assets(identity, "built")

    def _recorded(self, cache: AssetCache, key: str, *, rebuild: bool) -> CacheEntry | None:
        reporter = self.context.reporter
        if rebuild:
            reporter.info("The assets are built because of --rebuild.")
            return None
        try:
            entry = cache.find(key)
        except DamagedEntryError as error:
            reporter.warning("The assets are built again: {error}.", error=error)
            cache.drop(key)
            return None
        if entry is None:
            reporter.info("The assets are built: no recorded build has these inputs, builder and commands.")
        return entry

    def _build(self, work_fd: int) -> tree_snapshot.Changes:
        """Build, and return what that changed; BuildError for what the build's user cannot have made."""
        settings = self.context.settings
        with safefs.opened(work_fd, "data") as data:
            before = tree_snapshot.take(data)
        trees.remove(work_fd, "node_modules")
        work_dir.lend(work_fd, self.context.build_owner)
        try:
            self.builder.build(
                BuildJob(self.context.run_id, settings.work_dir, work_fd, settings.all_build_commands),
                self.context.reporter,
            )
        finally:
            work_dir.take_back(work_fd)
        owner = self.context.build_owner
        with safefs.opened(work_fd, "data") as data:
            # At once: what is put into the tree from here on is ours, as a file of root's that the build moved there.
            return tree_snapshot.changes(before, data, owner[0] if owner else None)

    def _record(self, cache: AssetCache, key: str, changes: tree_snapshot.Changes, data_fd: int) -> None:
        reporter = self.context.reporter
        if not changes.files:
            reporter.warning("The build changed no file below data/. Are install_command and build_commands right?")
            return
        if changes.links:
            reporter.info(
                "The build made links ({links!r}, …); it is not recorded in the asset cache.",
                links=changes.links[0],
            )
            return
        try:
            cache.record(key, changes, data_fd, self.context.run_id)
        except OSError as error:
            reporter.warning("The build could not be recorded in the asset cache: {strerror}.", strerror=error.strerror)
            return
        reporter.info("{count} asset files recorded for builds with the same inputs.", count=len(changes.files))
