"""Making a version live: what is written in place gets its own inodes, the link is switched, the history is written."""

from __future__ import annotations

import time

from govma_core import safefs
from govma_core.disk.thaw import Thawed, thaw
from govma_core.errors import RefusedError
from govma_core.operations.context import Context
from govma_core.operations.staging import staging
from govma_core.versions.history import History, How, Promotion
from govma_core.versions.promotion import Switch, switch


def make_live(context: Context, name: str, how: How) -> Switch:
    """Switch `current-version` to a complete version, and write the promotion down.

    Before that its files that are written in place get inodes of their own.
    """
    thaw_version(context, name)
    done = switch(context.versions, name, context.web_owner, context.reporter.cancellation.close)
    if done.previous.problem and done.previous.target is not None:
        context.reporter.warning(f"Before: {done.previous.problem}")
    context.reporter.info(
        f"current-version -> {name} (was {done.previous.version or 'nothing'}); {done.freshened} css/js files "
        f"freshened; {done.seconds * 1000:.0f} ms, and {done.sync_seconds * 1000:.0f} ms to put everything on the disk"
    )
    promotion = Promotion(time.time(), name, done.previous.version or "", how, context.by, context.run_id)
    try:
        History(context.settings.state_dir).append(promotion)
    except OSError as error:
        # The switch stands; what follows from the history is found again from the link (see live_before).
        context.reporter.warning(f"The promotion could not be written to the history: {error.strerror}.")
    return done


def require_live(context: Context, shown: str | None) -> str | None:
    """Give the version that is live; RefusedError when somebody confirmed a switch while `shown` was."""
    current = context.versions.pointer().version
    if shown is not None and shown != (current or ""):
        raise RefusedError(
            f"{current or 'Nothing'} is live by now, not {shown or 'nothing'} as when this was confirmed. Look again, "
            "and decide anew."
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
        context.reporter.info(f"{done.files} files that are written in place got inodes of their own.")
    for path, why in list(done.left.items())[:1]:
        context.reporter.warning(
            f"{len(done.left)} files of {name} that are written in place still share their inode with another version "
            f"({path}: {why}). What the CMS writes to them changes that version, too. Mend the cause, then "
            f"`govma-console promote {name}` once more."
        )
    return done
