"""Going live: the switch with what comes before and after it, and the way back when what is served is not right."""

from __future__ import annotations

import time

from govma_core import safefs
from govma_core.errors import GovmaError, RevertedError, UnprovedError
from govma_core.operations import hooks, verdicts
from govma_core.operations.activation import Served, prepared
from govma_core.operations.context import Context
from govma_core.operations.live import make_live
from govma_core.operations.surroundings import variables
from govma_core.versions.history import How
from govma_core.versions.promotion import Switch
from govma_core.versions.store import missing_parts


def go_live(context: Context, version: str, how: How, commit: str) -> Switch:
    """Switch to a complete version, activate it, and prove and check what is served.

    RevertedError when the version before is live again, UnprovedError when the new one is live in spite of what was
    found. HookError, and nothing switched, when the hook pre-promote fails.
    """
    before = context.versions.pointer().version
    told = variables(context, version, before or "", commit)
    hooks.before(context, "pre-promote", told)
    with prepared(context, version, before) as activation:
        with context.reporter.stage("promote"):
            done = make_live(context, version, how)
        since = time.monotonic()
        served = activation.serve(version)
    reason = _reason_to_revert(context, served)
    if reason and before and before != version and _whole(context, before):
        raise _reverted(
            context, version, before, commit, f"{reason} (it was live for {time.monotonic() - since:.0f} s)"
        )
    verdicts.note_result(context, _result(served))
    hooks.after(context, "post-promote", told | {"GOVMA_SERVED": "yes" if served.good else "no"})
    if not served.good:
        found = " ".join(part for part in (_unproved(served), _failing(served)) if part)
        none = "" if not reason else " There is no version to switch back to."
        raise UnprovedError(
            f"{version} is live, but {found}{none} Look at the site; `govma-console rollback` goes back.",
            version,
            before,
        )
    return done


def _reverted(context: Context, version: str, before: str, commit: str, reason: str) -> GovmaError:
    """Switch back, once and whatever is found then, and give the error that tells it."""
    context.reporter.error(f"{version}: {reason}. Switching back to {before}.")
    try:
        with prepared(context, before, version) as activation:
            with context.reporter.stage("revert"):
                make_live(context, before, "revert")
            served = activation.serve(before, check=False)
    except (GovmaError, OSError) as error:
        return UnprovedError(f"{version} is live, {reason}, and switching back failed: {error}", version, before)
    verdicts.note_result(context, f"live again: {served.said}")
    verdicts.mark_bad(context, version, commit, reason)
    still = f" But it is not proved that it is served: {served.unproved}" if served.unproved else ""
    return RevertedError(
        f"{version} was live and is not any more: {reason}. {before} is live again.{still}", version, before
    )


def _reason_to_revert(context: Context, served: Served) -> str:
    settings = context.settings
    if served.unproved and settings.activation_on_unproved == "revert":
        return _unproved(served).rstrip(".")
    if served.failing and settings.activation_on_failure == "revert":
        return _failing(served).rstrip(".")
    return ""


def _unproved(served: Served) -> str:
    return f"it is not proved that it is served: {served.unproved}" if served.unproved else ""


def _failing(served: Served) -> str:
    return f"it does not answer as it must: {served.failing}." if served.failing else ""


def _result(served: Served) -> str:
    return served.said if served.good else " ".join(part for part in (_unproved(served), _failing(served)) if part)


def _whole(context: Context, version: str) -> bool:
    with safefs.opened_root(context.settings.versions_dir) as fd:
        return not missing_parts(fd, version)
