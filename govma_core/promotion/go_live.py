"""Going live, in order: the hook before, the verdict, the switch, activation, proof and checks, and the way back."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from govma_core import hooks
from govma_core.context import Context, commit_of
from govma_core.disk.unshare import Unshared, unshare
from govma_core.errors import RefusedError, RevertedError, RunCancelled, UnprovedError
from govma_core.fs import safefs
from govma_core.promotion import verdicts
from govma_core.promotion.activation import Activation, Served, prepare
from govma_core.promotion.verdicts import Verdict
from govma_core.text.language import tr
from govma_core.versions.history import History, How, Promotion
from govma_core.versions.store import missing_parts, staging
from govma_core.versions.switch import Switch, switch


def require_live(context: Context, confirmed: str | None) -> str | None:
    """Return the version that is live; RefusedError when a switch was confirmed while another one (`confirmed`) was."""
    current = context.versions.pointer().version
    if confirmed is not None and confirmed != (current or ""):
        raise RefusedError(
            "{current} is live now, not {shown} as when this was confirmed. Look again, and decide again.",
            current=current or tr("Nothing"),
            shown=confirmed or tr("nothing"),
        )
    return current


def go_live(
    context: Context,
    version: str,
    how: How,
    commit: str,
    *,
    last_moment: Callable[[], None] = lambda: None,
    verdict: Verdict | None = None,
    behind: Callable[[], None] = lambda: None,
) -> Switch:
    """Switch to a complete version, activate it, and prove and check what is served.

    `last_moment` is called just before the switch and may raise; `verdict` is what is said against the version that
    the switch leaves; `behind` is called once the version is live and stays so, proved or not.
    HookError, and nothing switched, when the hook pre-promote fails. RevertedError when the version before is live
    again, UnprovedError when the new one is live in spite of what was seen. A rollback is never reverted: what it left
    is what the operator wanted to leave.
    """
    live = context.versions.pointer().version
    environment = hooks.variables(context, version, live or "", commit)
    hooks.before(context, "pre-promote", environment)
    try:
        with (
            prepare(context, version, live, environment, compare=how != "rollback") as activation,
            verdicts.judge(context, verdict, version),
        ):
            with context.reporter.stage("promote"):
                switched = make_live(context, version, how, last_moment)
            served = _serve(activation, version, switched.at)
        before = switched.previous.version
        reason = "" if how == "rollback" else _reason_to_revert(context, served)
        if reason and before and before != version and _is_whole(context, before):
            hold = tr("{version} was not good: {reason}", version=version, reason=reason)
            raise _revert(context, Verdict(version, commit, mark=reason, hold=hold), before, switched.at)
        if served.has_result:
            verdicts.note_result(context, _result(served))
        hooks.after(context, "post-promote", environment | {"GOVMA_SERVED": "yes" if served.good else "no"})
        if not served.good:
            nowhere = tr(" There is no version to switch back to.") if reason else ""
            back = "" if how == "rollback" else tr(" `govma-console rollback` goes back.")
            raise UnprovedError(_not_good(version, served) + nowhere + back)
        return switched
    except (RevertedError, UnprovedError):
        raise
    except Exception as error:
        if context.versions.pointer().version != version:
            raise
        raise _broken_off(context, error, version) from error
    finally:
        settle(context, version, behind)


def _broken_off(context: Context, error: Exception, version: str) -> UnprovedError:
    """Return the error for what fails behind a switch: whatever it was, it has to say that the version is live."""
    with suppress(Exception):
        verdicts.note_result(context, tr("not proved: {error}", error=_words(error)))
    return UnprovedError(
        "{version} is live, but what followed the switch failed: {error}. Look at the site.",
        version=version,
        error=_words(error),
    )


def settle(context: Context, version: str, behind: Callable[[], None]) -> None:
    """Call `behind` when the version is live; a failure in that does not make the promotion a failed one."""
    try:
        if context.versions.pointer().version == version:
            behind()
    except Exception as error:
        context.reporter.warning("Holds and marks could not be updated after the switch: {error}.", error=error)


def make_live(context: Context, name: str, how: How, last_moment: Callable[[], None] = lambda: None) -> Switch:
    """Switch `current-version` to a complete version, and write the promotion down.

    Before that its files that are written in place get inodes of their own. `last_moment` is called just before the
    switch, and may raise.
    """
    unshare_version(context, name)

    def no_return() -> None:
        last_moment()
        context.reporter.cancellation.close()

    switched = switch(context.versions, name, context.web_owner, no_return)
    if switched.previous.problem and switched.previous.target is not None:
        context.reporter.warning("Before: {problem}", problem=switched.previous.problem)
    context.reporter.info(
        "current-version -> {name} (was {version}); {freshened} css/js files freshened; "
        "{seconds:.0f} ms, and {sync_seconds:.0f} ms to put everything on the disk",
        name=name,
        version=switched.previous.version or tr("nothing"),
        freshened=switched.fresh.files,
        seconds=switched.seconds * 1000,
        sync_seconds=switched.sync_seconds * 1000,
    )
    if switched.fresh.stale:
        context.reporter.warning(
            "{count} css/js files kept their time ({why}): browsers may keep using their cached copies.",
            count=switched.fresh.stale,
            why=switched.fresh.why,
        )
    promotion = Promotion(time.time(), name, switched.previous.version or "", how, context.by, context.run_id)
    try:
        History(context.settings.state_dir).append(promotion)
    except OSError as error:
        # The switch stands; what follows from the history is found again from the link (see live_before).
        context.reporter.warning(
            "The promotion could not be written to the history: {strerror}.", strerror=error.strerror
        )
    return switched


def unshare_version(context: Context, name: str) -> Unshared:
    """Give the files of the version that are written in place inodes of their own; what resists is a warning.

    A version without room for its copies still can go live: being able to go back matters more.
    """
    with (
        safefs.opened_root(context.settings.versions_dir) as fd,
        safefs.opened(fd, name) as version,
        staging(fd) as place,
    ):
        unshared = unshare(version, context.settings.keep_single, place)
    if unshared.files:
        context.reporter.info("{files} files that are written in place got inodes of their own.", files=unshared.files)
    for path, why in list(unshared.still_shared.items())[:1]:
        context.reporter.warning(
            "{count} files of {name} that are written in place still share their inode with another version "
            "({path}: {why}). What the CMS writes to them changes that version, too. Fix the cause, then run "
            "`govma-console promote {name}` again.",
            count=len(unshared.still_shared),
            name=name,
            path=path,
            why=why,
        )
    return unshared


def _serve(activation: Activation, version: str, since: float, *, check: bool = True) -> Served:
    """Activate what is live by now; what fails in that leaves it unproved."""
    try:
        return activation.serve(version, since, check=check)
    except RunCancelled:
        raise
    except Exception as error:
        return Served(tr("not proved"), unproved=tr("the activation failed: {error}", error=_words(error)))


def _revert(context: Context, verdict: Verdict, before: str, since: float) -> RevertedError | UnprovedError:
    """Switch back to the version `before`, once and whatever is seen then, and give the error that tells it."""
    version, reason = verdict.version, verdict.mark
    context.reporter.error(
        "{version}: {reason}. Switching back to {before}.", version=version, reason=reason, before=before
    )
    until = time.monotonic()
    try:
        environment = hooks.variables(context, before, version, commit_of(context, before))
        with (
            verdicts.judge(context, verdict, before),
            prepare(context, before, version, environment, compare=False) as activation,
        ):
            with context.reporter.stage("revert"):
                until = make_live(context, before, "revert").at
            served = _serve(activation, before, until, check=False)
            verdicts.note_result(context, tr("live again: {said}", said=served.summary))
    except Exception as error:
        # Whatever it was: the error has to say which version is live, and why it should not be.
        if context.versions.pointer().version != before:
            return UnprovedError(
                "{version} is live, {reason}, and switching back failed: {error}",
                version=version,
                reason=reason,
                error=_words(error),
            )
        served = Served("", unproved=_words(error))
    still = f" {_not_good(before, served)}" if not served.good else ""
    return RevertedError(
        "{version} was live for {at:.0f} s and is not any more: {reason}. {before} is live again.{still}",
        version=version,
        at=until - since,
        reason=reason,
        before=before,
        still=still,
    )


def _reason_to_revert(context: Context, served: Served) -> str:
    settings = context.settings
    if served.unproved and served.certain and settings.activation_on_unproved == "revert":
        return _unproved(served)
    if served.unproved and not served.judged:
        # It is not known which version the checks saw: they speak against none.
        return ""
    return _failing(served) if settings.activation_on_failure == "revert" else ""


def _is_whole(context: Context, version: str) -> bool:
    """Tell whether one can go back to a version; what cannot be looked at is nothing to go back to."""
    with suppress(OSError), safefs.opened_root(context.settings.versions_dir) as fd:
        return not missing_parts(fd, version)
    return False


def prove_again(context: Context, version: str, commit: str, behind: Callable[[], None]) -> str:
    """Activate the version that is live once more, prove and check what is served, and give a few words on that.

    '' when the settings name nothing to activate. `behind` is called at the end, whatever was seen.
    UnprovedError when it is not as it must be. The history has it with the promotion that made the version live.
    """
    if not context.settings.activated:
        settle(context, version, behind)
        return ""
    environment = hooks.variables(context, version, version, commit)
    with prepare(context, version, None, environment, compare=False) as activation:
        served = _serve(activation, version, time.monotonic())
    last = verdicts.last_promotion(context)
    if served.has_result and last is not None and last.version == version:
        verdicts.note_result(context, _result(served), last.run)
    settle(context, version, behind)
    if not served.good:
        raise UnprovedError(_not_good(version, served))
    return served.summary


def _not_good(version: str, served: Served) -> str:
    return tr("{version} is live, but {result}. Look at the site.", version=version, result=_result(served))


def _result(served: Served) -> str:
    return served.summary if served.good else "; ".join(part for part in (_unproved(served), _failing(served)) if part)


def _unproved(served: Served) -> str:
    why = served.unproved.rstrip(".")
    return tr("it is not proved that it is served: {unproved}", unproved=why) if why else ""


def _failing(served: Served) -> str:
    return tr("it does not answer as it must: {failing}", failing=served.failing) if served.failing else ""


def _words(error: Exception) -> str:
    return str(error).rstrip(".") or type(error).__name__
