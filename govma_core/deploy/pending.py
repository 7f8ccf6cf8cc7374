"""Lists the commits between what is live and what would be deployed. Changes nothing but what git has fetched."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from govma_core.context import Context, commit_of
from govma_core.deploy.commits import Commit
from govma_core.deploy.source import Checkout, NextDeploy
from govma_core.errors import PreflightError, RefusedError
from govma_core.fs.permissions import cannot_write
from govma_core.services.source_drift import due
from govma_core.text.language import tr


@dataclass(frozen=True, slots=True)
class Pending(NextDeploy):
    """What a deploy would do, and bring.

    `commits` are those it adds, the latest first; `undone` those that are live and not in it. Both are None when the
    live version's commit is not known (no manifest, or not in the checkout).
    """

    live: str
    live_commit: str
    commits: list[Commit] | None
    undone: list[Commit] | None
    containers: str
    """What the containers need besides, as a sentence; '' when they need nothing."""


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
        target,
        next_deploy.withdrawn,
        next_deploy.warning,
        next_deploy.refusal,
        next_deploy.hold,
        live,
        live_commit,
        commits,
        undone,
        containers.sentence() if containers else "",
    )
