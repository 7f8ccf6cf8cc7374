"""What becomes known about a version once it was tried or live, written down for those who decide later.

Where it cannot be written (a full disk) that is a warning: nothing here keeps anybody from going back.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from govma_core.context import Context
from govma_core.text.language import tr
from govma_core.versions.history import History, Promotion
from govma_core.versions.holds import HoldStore
from govma_core.versions.marks import Kind, Mark, MarkStore


def mark_failed(context: Context, version: str, reason: str) -> None:
    """Mark a version that did not pass its rehearsal, unless it is known for worse."""
    _mark(context, version, "failed", reason)
    context.reporter.warning(tr("{version} is kept, and marked; current-version is as it was.", version=version))


def unmark_failed(context: Context, version: str) -> None:
    """Take back that a version did not pass, now that it has; what else speaks against it stays."""
    mark = marks(context).get(version)
    if mark is not None and mark.kind == "failed":
        written(
            context,
            lambda: MarkStore(context.settings.state_dir).clear(version),
            tr("The mark of {version} could not be taken away", version=version),
        )


def mark_bad(context: Context, version: str, commit: str, *, mark: str, hold: str) -> None:
    """Mark a version that is gone back from, and hold deploys of its commit; `mark` and `hold` are the reasons."""
    _hold_commit(context, version, commit, hold)
    _mark(context, version, "bad", mark)


def _hold_commit(context: Context, version: str, commit: str, reason: str) -> None:
    """Hold deploys of the commit that a version was made from, and say so; where it is not known, say that.

    A hold that there is already stays as it is.
    """
    if not commit:
        context.reporter.warning(
            tr(
                "It is not recorded which commit {version} was made from: deploys of it cannot be "
                "held. `govma-console hold` holds all deploys.",
                version=version,
            )
        )
        return

    def write() -> None:
        holds = HoldStore(context.settings.state_dir)
        if any(hold.commit == commit for hold in holds.read().commits):
            context.reporter.info(tr("Deploys of commit {commit} are held already.", commit=commit[:9]))
            return
        said = context.reporter.mask(reason)
        holds.hold_commit(commit, version, said, context.by, time.time(), context.run_id)
        context.reporter.info(
            tr(
                "Deploys of commit {commit} are held from now on; a newer commit can be deployed. "
                "`govma-console release {commit}` ends that.",
                commit=commit[:9],
            )
        )

    written(context, write, tr("Deploys of commit {commit} could not be held", commit=commit[:9]))


def marks(context: Context) -> dict[str, Mark]:
    """Return what is known against versions; that it cannot be read is a warning."""
    try:
        return MarkStore(context.settings.state_dir).read()
    except OSError as error:
        context.reporter.warning(tr("The marks of versions cannot be read: {strerror}.", strerror=error.strerror))
        return {}


def last_promotion(context: Context) -> Promotion | None:
    """Return the last promotion that the history knows; None where there is none, or it cannot be read."""
    try:
        return next(reversed(History(context.settings.state_dir).read()), None)
    except OSError as error:
        context.reporter.warning(tr("The history cannot be read: {strerror}.", strerror=error.strerror))
        return None


def note_result(context: Context, result: str, run: str = "") -> None:
    """Add to the history what the promotion of `run` (else this one) came to; a failure to write is a warning."""
    said = context.reporter.mask(result)
    written(
        context,
        lambda: History(context.settings.state_dir).note(run or context.run_id, said, time.time()),
        tr("The result of the promotion could not be written to the history"),
    )


def written(context: Context, write: Callable[[], object], failed: str) -> None:
    """Write something down; that it cannot be written is a warning that begins with `failed`."""
    try:
        write()
    except OSError as error:
        context.reporter.warning(f"{failed}: {error.strerror}.")


def _mark(context: Context, version: str, kind: Kind, reason: str) -> None:
    earlier = marks(context).get(version)
    if earlier is not None and earlier.kind == "bad":
        # Nothing that is said against it now may be taken away before that is.
        return
    # The first line says it; the rest of it is in the run's log.
    said = context.reporter.mask(reason).split("\n")[0]
    written(
        context,
        lambda: MarkStore(context.settings.state_dir).mark(
            version, kind, said, context.by, time.time(), context.run_id
        ),
        tr("{version} could not be marked as {kind}", version=version, kind=kind),
    )
