"""Going live: the switch with what comes before and after it, and the way back when what is served is not right."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from govma_core import hooks
from govma_core.context import Context, commit_of
from govma_core.disk.unshare import Thawed, thaw
from govma_core.errors import CandidateError, RefusedError, RevertedError, RunCancelled, UnprovedError
from govma_core.fs import safefs
from govma_core.hooks import variables
from govma_core.promotion import holds, rehearsal, verdicts
from govma_core.promotion.activation import Activation, Served, prepared
from govma_core.text.language import tr
from govma_core.versions.history import History, How, Promotion
from govma_core.versions.publish import staging
from govma_core.versions.store import missing_parts
from govma_core.versions.switch import Switch, switch


def make_live(context: Context, name: str, how: How, last_moment: Callable[[], None] = lambda: None) -> Switch:
    """Switch `current-version` to a complete version, and write the promotion down.

    Before that its files that are written in place get inodes of their own. `last_moment` is called just before the
    switch, and may raise.
    """
    thaw_version(context, name)

    def no_return() -> None:
        last_moment()
        context.reporter.cancellation.close()

    done = switch(context.versions, name, context.web_owner, no_return)
    if done.previous.problem and done.previous.target is not None:
        context.reporter.warning(tr("Before: {problem}", problem=done.previous.problem))
    context.reporter.info(
        tr(
            "current-version -> {name} (was {version}); {freshened} css/js files freshened; "
            "{seconds:.0f} ms, and {sync_seconds:.0f} ms to put everything on the disk",
            name=name,
            version=done.previous.version or tr("nothing"),
            freshened=done.fresh.files,
            seconds=done.seconds * 1000,
            sync_seconds=done.sync_seconds * 1000,
        )
    )
    if done.fresh.left:
        context.reporter.warning(
            tr(
                "{count} css/js files kept their time ({why}): browsers may keep using their cached copies.",
                count=done.fresh.left,
                why=done.fresh.why,
            )
        )
    promotion = Promotion(time.time(), name, done.previous.version or "", how, context.by, context.run_id)
    try:
        History(context.settings.state_dir).append(promotion)
    except OSError as error:
        # The switch stands; what follows from the history is found again from the link (see live_before).
        context.reporter.warning(
            tr("The promotion could not be written to the history: {strerror}.", strerror=error.strerror)
        )
    return done


def require_live(context: Context, shown: str | None) -> str | None:
    """Return the version that is live; RefusedError when somebody confirmed a switch while `shown` was."""
    current = context.versions.pointer().version
    if shown is not None and shown != (current or ""):
        raise RefusedError(
            tr(
                "{current} is live now, not {shown} as when this was confirmed. Look again, and decide again.",
                current=current or tr("Nothing"),
                shown=shown or tr("nothing"),
            )
        )
    return current


def thaw_version(context: Context, name: str) -> Thawed:
    """Give the files of the version that are written in place inodes of their own; what resists is a warning.

    A version without room for its copies still can go live: being able to go back matters more.
    """
    with (
        safefs.opened_root(context.settings.versions_dir) as fd,
        safefs.opened(fd, name) as version,
        staging(fd) as place,
    ):
        done = thaw(version, context.settings.keep_single, place)
    if done.files:
        context.reporter.info(tr("{files} files that are written in place got inodes of their own.", files=done.files))
    for path, why in list(done.left.items())[:1]:
        context.reporter.warning(
            tr(
                "{count} files of {name} that are written in place still share their inode with another version "
                "({path}: {why}). What the CMS writes to them changes that version, too. Fix the cause, then run "
                "`govma-console promote {name}` again.",
                count=len(done.left),
                name=name,
                path=path,
                why=why,
            )
        )
    return done


def go_live(
    context: Context, version: str, how: How, commit: str, last_moment: Callable[[], None] = lambda: None
) -> Switch:
    """Switch to a complete version, activate it, and prove and check what is served.

    RevertedError when the version before is live again, UnprovedError when the new one is live in spite of what was
    found. HookError, and nothing switched, when the hook pre-promote fails; so it is when `last_moment` raises, which
    is called just before the switch. A rollback is never reverted: what it left is what somebody wanted to leave.
    """
    live = context.versions.pointer().version
    told = variables(context, version, live or "", commit)
    hooks.before(context, "pre-promote", told)
    with _told_when_live(context, version, live, commit):
        with prepared(context, version, live, told, compare=how != "rollback") as activation:
            with context.reporter.stage("promote"):
                done = make_live(context, version, how, last_moment)
            served = _served(activation, version, done.at)
        before = done.previous.version
        reason = "" if how == "rollback" else _reason_to_revert(context, served)
        if reason and before and before != version and _whole(context, before):
            raise _reverted(context, version, before, commit, reason, done.at)
        if served.asked:
            verdicts.note_result(context, _result(served))
        hooks.after(context, "post-promote", told | {"GOVMA_SERVED": "yes" if served.good else "no"})
        if how == "rollback":
            # It was not held up by that; a candidate that a killed run left is still to go.
            rehearsal.clear_leftovers(context)
        if not served.good:
            nowhere = tr(" There is no version to switch back to.") if reason else ""
            back = "" if how == "rollback" else tr(" `govma-console rollback` goes back.")
            raise UnprovedError(_not_good(version, served) + nowhere + back, version, before, commit)
    return done


def prove_again(context: Context, version: str, commit: str) -> str:
    """Activate the version that is live once more, prove and check what is served, and give a few words on that.

    UnprovedError when it is not as it must be. The history has it with the promotion that made the version live.
    """
    told = variables(context, version, version, commit)
    with prepared(context, version, None, told, compare=False) as activation:
        served = _served(activation, version, time.monotonic())
    last = verdicts.last_promotion(context)
    if served.asked and last is not None and last.version == version:
        verdicts.note_result(context, _result(served), last.run)
    if not served.good:
        raise UnprovedError(_not_good(version, served), version, version, commit)
    return served.said


@contextmanager
def _told_when_live(context: Context, version: str, live: str | None, commit: str) -> Iterator[None]:
    """Frame what comes after a switch: whatever fails then, it has to be told that the version is live."""
    try:
        yield
    except CandidateError:
        raise
    except Exception as error:
        if context.versions.pointer().version != version:
            raise
        said = tr(
            "{version} is live, but what followed the switch failed: {error}. Look at the site.",
            version=version,
            error=_words(error),
        )
        with suppress(Exception):
            verdicts.note_result(context, tr("not proved: {error}", error=_words(error)))
        raise UnprovedError(said, version, live, commit) from error


def _served(activation: Activation, version: str, since: float, *, check: bool = True) -> Served:
    """Activate what is live by now; what fails in that leaves it unproved."""
    try:
        return activation.serve(version, since, check=check)
    except RunCancelled:
        raise
    except Exception as error:
        return Served(tr("not proved"), unproved=tr("the activation failed: {error}", error=_words(error)))


def _reverted(context: Context, version: str, before: str, commit: str, reason: str, since: float) -> CandidateError:
    """Switch back, once and whatever is found then, and give the error that tells it."""
    context.reporter.error(
        tr("{version}: {reason}. Switching back to {before}.", version=version, reason=reason, before=before)
    )
    until = time.monotonic()
    try:
        told = variables(context, before, version, commit_of(context, before))
        held = tr("{version} was not good: {reason}", version=version, reason=reason)
        with (
            holds.against(context, version, before, commit, mark=reason, hold=held),
            prepared(context, before, version, told, compare=False) as activation,
        ):
            with context.reporter.stage("revert"):
                until = make_live(context, before, "revert").at
            served = _served(activation, before, until, check=False)
            verdicts.note_result(context, tr("live again: {said}", said=served.said))
    except Exception as error:
        # Whatever it was: which version is live, and why it should not be, has to be told.
        if context.versions.pointer().version != before:
            said = tr(
                "{version} is live, {reason}, and switching back failed: {error}",
                version=version,
                reason=reason,
                error=_words(error),
            )
            return UnprovedError(said, version, before, commit)
        served = Served("", unproved=_words(error))
    still = f" {_not_good(before, served)}" if not served.good else ""
    said = tr(
        "{version} was live for {at:.0f} s and is not any more: {reason}. {before} is live again.{still}",
        version=version,
        at=until - since,
        reason=reason,
        before=before,
        still=still,
    )
    return RevertedError(said, version, before, commit)


def _reason_to_revert(context: Context, served: Served) -> str:
    settings = context.settings
    if served.unproved and served.certain and settings.activation_on_unproved == "revert":
        return _unproved(served)
    if served.unproved and not served.judged:
        # Nobody can tell whose answers the checks saw: they speak against no version.
        return ""
    return _failing(served) if settings.activation_on_failure == "revert" else ""


def _not_good(version: str, served: Served) -> str:
    return tr("{version} is live, but {result}. Look at the site.", version=version, result=_result(served))


def _unproved(served: Served) -> str:
    said = served.unproved.rstrip(".")
    return tr("it is not proved that it is served: {unproved}", unproved=said) if said else ""


def _failing(served: Served) -> str:
    return tr("it does not answer as it must: {failing}", failing=served.failing) if served.failing else ""


def _result(served: Served) -> str:
    return served.said if served.good else "; ".join(part for part in (_unproved(served), _failing(served)) if part)


def _words(error: Exception) -> str:
    return str(error).rstrip(".") or type(error).__name__


def _whole(context: Context, version: str) -> bool:
    """Tell whether one can go back to a version; what cannot be looked at is nothing to go back to."""
    with suppress(OSError), safefs.opened_root(context.settings.versions_dir) as fd:
        return not missing_parts(fd, version)
    return False
