"""Promote: make a version live that is on the disk."""

from __future__ import annotations

from contextlib import ExitStack

from govma_core.errors import PublishError, RefusedError
from govma_core.language import tr
from govma_core.operations import holding, rehearsal
from govma_core.operations.context import Context, Outcome, commit_of
from govma_core.operations.going_live import go_live, prove_again
from govma_core.operations.live import require_live, thaw_version
from govma_core.versions.store import Version


def run(context: Context, *, version: str, live_shown: str | None = None, rehearse: bool = True) -> Outcome:
    """Try the version that `version` names (a unique beginning is enough), and point `current-version` to it.

    The one that is live is activated and proved once more; nothing is switched.
    RefusedError when another version is live than `live_shown`, the one that somebody confirmed to leave.
    """
    with ExitStack() as behind:
        with context.reporter.stage("preflight"):
            target = context.versions.find(version)
            current = require_live(context, live_shown)
            commit = tell_about(context, target, current)
            holding.warn(context)
            if rehearse and context.settings.rehearsed and target.name != current:
                rehearsal.clear_leftovers(context)
            else:
                # Nothing is tried: an engine that does not answer must not hold up the switch.
                behind.callback(rehearsal.clear_leftovers, context)
        if target.name == current:
            return _once_more(context, target.name, commit)
        require_complete(context, target)
        rehearsal.rehearse(context, target.name, skip=not rehearse)
        with holding.made_live(context, lambda: holding.chosen(context, target.name)):
            go_live(context, target.name, "promote", commit)
    return Outcome(tr("{name} is live.", name=target.name), target.name, current or "", commit)


def _once_more(context: Context, name: str, commit: str) -> Outcome:
    """Do for the version that is live all that a switch to it does, but the switch."""
    thawed = thaw_version(context, name)
    done = [tr("{files} files got inodes of their own", files=thawed.files)] if thawed.files else []
    with holding.made_live(context, lambda: holding.chosen(context, name)):
        if context.settings.activated:
            done.append(prove_again(context, name, commit))
    rest = "; ".join(done) or tr("nothing to do")
    return Outcome(tr("{name} is live already; {rest}.", name=name, rest=rest), name, name, commit)


def tell_about(context: Context, target: Version, current: str | None) -> str:
    """Tell the run which version it is about, and which is live before; give the commit it was made from."""
    about = context.about
    about.version, about.version_before, about.commit = target.name, current or "", commit_of(context, target.name)
    return about.commit


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
            tr(
                "{name} is incomplete (no html/ or no system/ in it) and is not made live. There are:\n{listing}",
                name=target.name,
                listing=context.versions.listing(),
            )
        )
