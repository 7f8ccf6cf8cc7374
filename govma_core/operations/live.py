"""Making a version live: what is written in place gets its own inodes, the link is switched, the history is written."""

from __future__ import annotations

import time
from collections.abc import Callable

from govma_core import safefs
from govma_core.disk.thaw import Thawed, thaw
from govma_core.errors import RefusedError
from govma_core.language import tr
from govma_core.operations.context import Context
from govma_core.operations.staging import staging
from govma_core.versions.history import History, How, Promotion
from govma_core.versions.promotion import Switch, switch


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
