"""Promote: make a version live that is on the disk; and check, which only tries one."""

from __future__ import annotations

from contextlib import ExitStack, suppress

from govma_core.context import Context, Outcome, tell_about
from govma_core.errors import ConfigurationError
from govma_core.promotion import rehearsal, verdicts
from govma_core.promotion.go_live import go_live, prove_again, require_live, unshare_version
from govma_core.text.language import tr
from govma_core.versions.holds import HoldStore


def run(context: Context, *, version: str, live_shown: str | None = None, rehearse: bool = True) -> Outcome:
    """Try the version that `version` names (a unique beginning is enough), and point `current-version` to it.

    The one that is live is activated and proved once more; nothing is switched. Behind the switch nothing speaks
    against the version any more.
    RefusedError when another version is live than `live_shown`, the one that was confirmed to be left.
    """
    with ExitStack() as at_the_end:
        with context.reporter.stage("preflight"):
            target = context.versions.find(version)
            current = require_live(context, live_shown)
            commit = tell_about(context, target, current)
            _warn_of_hold(context)
            if rehearse and context.settings.rehearsed and target.name != current:
                rehearsal.clear_leftovers(context)
            else:
                # Nothing is tried: an engine that does not answer must not hold up the switch.
                at_the_end.callback(rehearsal.clear_leftovers, context)
        if target.name == current:
            return _prove_once_more(context, target.name, commit)
        context.versions.require_promotable(target)
        rehearsal.rehearse(context, target.name, skip=not rehearse)
        go_live(context, target.name, "promote", commit, behind=lambda: verdicts.forgive(context, target.name))
    return Outcome(tr("{name} is live.", name=target.name), target.name, current or "", commit)


def _warn_of_hold(context: Context) -> None:
    """Say that deploys are held: a promotion is deliberate, and goes on."""
    with suppress(OSError):
        hold = HoldStore(context.settings.state_dir).read().by_hand
        if hold is not None:
            context.reporter.warning(
                "{sentence} A promotion is made on purpose, so it continues.", sentence=hold.sentence()
            )


def _prove_once_more(context: Context, name: str, commit: str) -> Outcome:
    """Do for the version that is live all that a switch to it does, but the switch."""
    unshared = unshare_version(context, name)
    results = [tr("{files} files got inodes of their own", files=unshared.files)] if unshared.files else []
    results.append(prove_again(context, name, commit, lambda: verdicts.forgive(context, name)))
    rest = "; ".join(result for result in results if result) or tr("nothing to do")
    return Outcome(tr("{name} is live already; {rest}.", name=name, rest=rest), name, name, commit)


def check(context: Context, *, version: str) -> Outcome:
    """Try the version that `version` names (a unique beginning is enough), as a deploy does before the switch.

    RehearsalError when it is not good; ConfigurationError when the settings do not say how it is to be tried.
    """
    with context.reporter.stage("preflight"):
        target = context.versions.find(version)
        if not context.settings.rehearsed:
            raise ConfigurationError(
                "There is nothing to test a version in: set image, like or command in the table [rehearsal] of "
                "the settings."
            )
        commit = tell_about(context, target, context.versions.pointer().version)
        context.versions.require_whole(target)
        rehearsal.clear_leftovers(context)
    rehearsal.rehearse(context, target.name)
    return Outcome(tr("{name} is good.", name=target.name), target.name, commit=commit)
