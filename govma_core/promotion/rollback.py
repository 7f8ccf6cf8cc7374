"""Rollback: back to the version that was live before, or to a named one."""

from __future__ import annotations

from govma_core.context import Context, Outcome
from govma_core.errors import RefusedError
from govma_core.promotion import holds, verdicts
from govma_core.promotion.go_live import go_live, require_live
from govma_core.promotion.promote import require_complete, tell_about
from govma_core.text.language import tr
from govma_core.versions.history import History, live_before
from govma_core.versions.store import Version


def run(
    context: Context, *, version: str | None = None, live_shown: str | None = None, keep_mark: bool = False
) -> Outcome:
    """Point `current-version` back; without `version` to the one that was live before this one, by the history.

    What it leaves is marked bad, and deploys of its commit are held, unless told not to (`keep_mark`).

    RefusedError when another version is live than `live_shown`, the one that somebody confirmed to leave.
    """
    with context.reporter.stage("preflight"):
        current = require_live(context, live_shown)
        target = context.versions.find(version) if version is not None else previous(context, current)
        commit = tell_about(context, target, current)
        if target.name == current:
            raise RefusedError(
                tr(
                    "{name} is live already. There are:\n{listing}",
                    name=target.name,
                    listing=context.versions.listing(),
                )
            )
        require_complete(context, target)
    with holds.leaving(context, current, target.name, keep_mark=keep_mark):
        go_live(context, target.name, "rollback", commit)
    return Outcome(tr("Rolled back to {name}.", name=target.name), target.name, current or "", commit)


def previous(context: Context, current: str | None) -> Version:
    """Return the version a rollback leads to: the latest that was live before the current one, whole and not marked."""
    trail = live_before(History(context.settings.state_dir).read(), current)
    marks = verdicts.marks(context)
    there = {found.name: found for found in context.versions.versions()}
    against = {}
    for name in trail:
        found = there.get(name)
        if found is not None and found.complete and name not in marks:
            return found
        marked = marks[name].sentence() if name in marks else tr("incomplete")
        against[name] = marked if found is not None else tr("gone")
    gone = ", ".join(
        tr("{name} was live before, but is {why}", name=name, why=why) for name, why in list(against.items())[:3]
    )
    gone = f" ({gone})" if gone else ""
    raise RefusedError(
        tr(
            "No record in state_dir ({state_dir}) tells which version was live before this one{gone}. Name the one to "
            "go back to: `govma-console rollback VERSION`. There are:\n{listing}",
            state_dir=context.settings.state_dir,
            gone=gone,
            listing=context.versions.listing(),
        )
    )
