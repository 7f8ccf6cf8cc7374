"""Lists the commits between what is live and what would be deployed. Changes nothing but what git has fetched."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from govma_core.context import Context, commit_of
from govma_core.deploy.commits import Commit
from govma_core.deploy.source import Checkout
from govma_core.errors import PreflightError, RefusedError
from govma_core.fs.permissions import cannot_write
from govma_core.services.source_drift import due
from govma_core.text.language import tr
from govma_core.versions.holds import Hold, HoldStore


@dataclass(frozen=True, slots=True)
class Pending:
    """What a deploy would bring.

    `commits` are those it adds, the latest first; `undone` those that are live and not in it. Both are None when the
    live version's commit is not known (no manifest, or not in the checkout).
    """

    live: str
    live_commit: str
    target: Commit
    commits: list[Commit] | None
    undone: list[Commit] | None
    containers: str = ""
    """What the containers need besides, as a sentence; '' when they need nothing."""
    withdrawn: Sequence[Commit] = ()
    """What the remote's branch had and has no more: a deploy leaves it behind, as `warning` says."""
    warning: str = ""
    refusal: str = ""
    """Why a deploy would be refused, as a sentence; '' when it would begin."""
    hold: Hold | None = None


def pending(context: Context, *, ref: str | None = None, fetch: bool = True) -> Pending:
    """Compare what is live with the remote's branch or with `ref`, after a fetch, unless told not to.

    Raises RefusedError for a user who cannot fetch into the checkout.
    """
    live = context.versions.pointer().version or ""
    live_commit = commit_of(context, live) if live else ""
    directory = context.settings.source_dir
    if not directory.is_dir():
        raise PreflightError(
            [tr("source_dir ({directory}) is not there. Clone the site's repository to it.", directory=directory)]
        )
    # Git itself would speak of dubious ownership, and advise the reader to trust the checkout.
    if fetch and (refusal := cannot_write("source_dir", directory)):
        raise RefusedError(refusal)
    with closing(Checkout(context.settings, context.reporter)) as checkout:
        if fetch:
            checkout.fetch()
        next_deploy = checkout.next_deploy(ref)
        target = next_deploy.target
        commits = checkout.between(live_commit, target.sha) if live_commit else None
        undone = checkout.between(target.sha, live_commit) if live_commit else None
    containers = due(context.settings, target.sha, live_commit)
    return Pending(
        live,
        live_commit,
        target,
        commits,
        undone,
        containers.sentence() if containers else "",
        next_deploy.withdrawn,
        next_deploy.warning,
        next_deploy.refusal,
        HoldStore(context.settings.state_dir).read().of(target.sha),
    )
