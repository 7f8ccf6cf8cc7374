"""Promote: make a version live that is on the disk."""

from __future__ import annotations

from govma_core.errors import PublishError, RefusedError
from govma_core.operations import holding, rehearsal
from govma_core.operations.context import Context, Outcome
from govma_core.operations.going_live import go_live
from govma_core.operations.live import require_live, thaw_version
from govma_core.versions.manifest import ManifestStore
from govma_core.versions.store import Version


def run(context: Context, *, version: str, live_shown: str | None = None, rehearse: bool = True) -> Outcome:
    """Try the version that `version` names (a unique beginning is enough), and point `current-version` to it.

    RefusedError when another version is live than `live_shown`, the one that somebody confirmed to leave.
    """
    with context.reporter.stage("preflight"):
        target = context.versions.find(version)
        current = require_live(context, live_shown)
        holding.warn(context)
    if target.name == current:
        thawed = thaw_version(context, target.name)
        holding.chosen(context, target.name)
        rest = f"{thawed.files} files got inodes of their own" if thawed.files else "nothing to do"
        return Outcome(f"{target.name} is live already; {rest}.", target.name, target.name)
    require_complete(context, target)
    commit = commit_of(context, target.name)
    rehearsal.rehearse(context, target.name, skip=not rehearse)
    go_live(context, target.name, "promote", commit)
    holding.chosen(context, target.name)
    return Outcome(f"{target.name} is live.", target.name, current or "", commit)


def require_complete(context: Context, target: Version) -> None:
    """Refuse a version that is not whole; PublishError when the link is blocked."""
    require_whole(context, target)
    pointer = context.versions.pointer()
    if pointer.blocks:
        raise PublishError(pointer.problem)


def require_whole(context: Context, target: Version) -> None:
    """Refuse a version that is not whole, with the list of what there is."""
    if not target.complete:
        raise RefusedError(
            f"{target.name} is incomplete (no html/ or no system/ in it) and is not made live. "
            f"There are:\n{context.versions.listing()}"
        )


def commit_of(context: Context, name: str) -> str:
    """Give the commit a version was made from, '' when it has no manifest."""
    manifest = ManifestStore(context.settings.state_dir).read(name)
    return manifest.commit if manifest else ""
