"""Promote: make a version live that is on the disk."""

from __future__ import annotations

from contextlib import ExitStack

from govma_core.context import Context, Outcome, commit_of
from govma_core.errors import ConfigurationError, PublishError, RefusedError
from govma_core.promotion import holds, rehearsal
from govma_core.promotion.go_live import go_live, prove_again, require_live, thaw_version
from govma_core.text.language import tr
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
            holds.warn(context)
            if rehearse and context.settings.rehearsed and target.name != current:
                rehearsal.clear_leftovers(context)
            else:
                # Nothing is tried: an engine that does not answer must not hold up the switch.
                behind.callback(rehearsal.clear_leftovers, context)
        if target.name == current:
            return _once_more(context, target.name, commit)
        require_complete(context, target)
        rehearsal.rehearse(context, target.name, skip=not rehearse)
        with holds.made_live(context, lambda: holds.chosen(context, target.name)):
            go_live(context, target.name, "promote", commit)
    return Outcome(tr("{name} is live.", name=target.name), target.name, current or "", commit)


def _once_more(context: Context, name: str, commit: str) -> Outcome:
    """Do for the version that is live all that a switch to it does, but the switch."""
    thawed = thaw_version(context, name)
    done = [tr("{files} files got inodes of their own", files=thawed.files)] if thawed.files else []
    with holds.made_live(context, lambda: holds.chosen(context, name)):
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


def check(context: Context, *, version: str) -> Outcome:
    """Try the version that `version` names (a unique beginning is enough), as a deploy does before the switch.

    RehearsalError when it is not good; ConfigurationError when the settings do not say how it is to be tried.
    """
    if not context.settings.rehearsed:
        raise ConfigurationError(
            tr(
                "There is nothing to test a version in: set image, like or command in the table [rehearsal] of "
                "the settings."
            )
        )
    with context.reporter.stage("preflight"):
        target = context.versions.find(version)
        commit = tell_about(context, target, context.versions.pointer().version)
        require_whole(context, target)
    rehearsal.rehearse(context, target.name)
    return Outcome(tr("{name} is good.", name=target.name), target.name, commit=commit)
