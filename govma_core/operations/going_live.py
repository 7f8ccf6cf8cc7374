"""Going live: the switch with what comes before and after it, and the way back when what is served is not right."""

from __future__ import annotations

from govma_core import safefs
from govma_core.errors import CandidateError, RevertedError, UnprovedError
from govma_core.language import tr
from govma_core.operations import hooks, rehearsal, verdicts
from govma_core.operations.activation import Served, prepared
from govma_core.operations.context import Context
from govma_core.operations.hook_variables import variables
from govma_core.operations.live import make_live
from govma_core.versions.history import How
from govma_core.versions.promotion import Switch
from govma_core.versions.store import missing_parts


def go_live(context: Context, version: str, how: How, commit: str) -> Switch:
    """Switch to a complete version, activate it, and prove and check what is served.

    RevertedError when the version before is live again, UnprovedError when the new one is live in spite of what was
    found. HookError, and nothing switched, when the hook pre-promote fails. A rollback is never reverted: what it left
    is what somebody wanted to leave.
    """
    live = context.versions.pointer().version
    told = variables(context, version, live or "", commit)
    hooks.before(context, "pre-promote", told)
    with prepared(context, version, live, told, compare=how != "rollback") as activation:
        with context.reporter.stage("promote"):
            done = make_live(context, version, how)
        served = activation.serve(version, done.at)
    before = done.previous.version
    reason = "" if how == "rollback" else _reason_to_revert(context, served)
    if reason and before and before != version and _whole(context, before):
        raise _reverted(context, version, before, commit, reason, done.at)
    verdicts.note_result(context, _result(served))
    hooks.after(context, "post-promote", told | {"GOVMA_SERVED": "yes" if served.good else "no"})
    if how == "rollback":
        # It was not held up by that; a candidate that a killed run left is still to go.
        rehearsal.clear_leftovers_afterwards(context)
    if not served.good:
        none = tr(" There is no version to switch back to.") if reason else ""
        said = tr(
            "{version} is live, but {result}{none} Look at the site", version=version, result=_result(served), none=none
        )
        advice = "." if how == "rollback" else tr("; `govma-console rollback` goes back.")
        raise UnprovedError(f"{said}{advice}", version, before, commit)
    return done


def _reverted(context: Context, version: str, before: str, commit: str, reason: str, since: float) -> CandidateError:
    """Switch back, once and whatever is found then, and give the error that tells it."""
    context.reporter.error(
        tr("{version}: {reason}. Switching back to {before}.", version=version, reason=reason, before=before)
    )
    told = variables(context, before, version)
    try:
        with prepared(context, before, version, told, compare=False) as activation:
            with context.reporter.stage("revert"):
                back = make_live(context, before, "revert")
            # At once: whatever becomes of what follows, the next run must know.
            verdicts.mark_bad(context, version, commit, reason)
            served = activation.serve(before, back.at, check=False)
    except Exception as error:
        # Whatever it was: which version is live, and why it should not be, has to be told.
        if context.versions.pointer().version == before:
            said = tr(
                "{version} was live and is not any more: {reason}. {before} is live again, but what followed failed: "
                "{error}",
                version=version,
                reason=reason,
                before=before,
                error=error or type(error).__name__,
            )
            return RevertedError(said, version, before, commit)
        said = tr(
            "{version} is live, {reason}, and switching back failed: {error}",
            version=version,
            reason=reason,
            error=error or type(error).__name__,
        )
        return UnprovedError(said, version, before, commit)
    verdicts.note_result(context, tr("live again: {said}", said=served.said))
    still = (
        tr(" But it is not proved that it is served: {unproved}", unproved=served.unproved) if served.unproved else ""
    )
    return RevertedError(
        tr(
            "{version} was live for {at:.0f} s and is not any more: {reason}. {before} is live again.{still}",
            version=version,
            at=back.at - since,
            reason=reason,
            before=before,
            still=still,
        ),
        version,
        before,
        commit,
    )


def _reason_to_revert(context: Context, served: Served) -> str:
    settings = context.settings
    if served.unproved and served.certain and settings.activation_on_unproved == "revert":
        return _unproved(served).rstrip(".")
    if served.failing and settings.activation_on_failure == "revert":
        return _failing(served).rstrip(".")
    return ""


def _unproved(served: Served) -> str:
    return tr("it is not proved that it is served: {unproved}", unproved=served.unproved) if served.unproved else ""


def _failing(served: Served) -> str:
    return tr("it does not answer as it must: {failing}.", failing=served.failing) if served.failing else ""


def _result(served: Served) -> str:
    return served.said if served.good else " ".join(part for part in (_unproved(served), _failing(served)) if part)


def _whole(context: Context, version: str) -> bool:
    with safefs.opened_root(context.settings.versions_dir) as fd:
        return not missing_parts(fd, version)
