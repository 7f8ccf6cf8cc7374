"""What a deploy, a rollback or a promotion would change: compared by git before it is started.

These functions take time: call them in a thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from govma_console.tui.site_state import Snapshot
from govma_console.version_row import VersionRow
from govma_core.context import Context
from govma_core.errors import GovmaError
from govma_core.reporting import silent
from govma_core.settings import Settings
from govma_core.text.language import tr
from govma_core.versions import env_file

if TYPE_CHECKING:
    from govma_core.deploy.commits import Commit
    from govma_core.deploy.pending import Pending

_fetching = threading.Lock()
"""Two fetches at once in one checkout get in each other's way."""


@dataclass(frozen=True, slots=True)
class DeployPlan:
    """What a deploy would bring, and when that was fetched (epoch seconds).

    `differences` names what the live version was made from otherwise, where it was made from the same commit.
    """

    changes: Pending
    fetched_at: float
    differences: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class SwitchPlan:
    """What a switch from the version `source` ('' for none) to another one would change.

    `undone` are the commits that would no longer be live, `added` those that would be; None when not known.
    """

    source: str
    target: VersionRow
    undone: list[Commit] | None
    added: list[Commit] | None
    last_live: float
    """When the target went live the last time (epoch seconds); 0 when that is not recorded."""
    was_live: bool
    why_unknown: str = ""
    env_difference: str = ""
    """Says that the target was made with another env_file than the present one; '' when not, or when not known."""


def plan_deploy(settings: Settings, ref: str | None) -> DeployPlan:
    """Fetch, and compare what is live with what would be deployed; GovmaError or OSError when that fails."""
    from govma_core.deploy import fingerprint, pending

    context = Context.for_reading(settings)
    with _fetching:
        changes = pending.pending(context, ref=ref)
    commit, differences = changes.target.sha, list[str]()
    if changes.live_commit == commit:
        _, differences = fingerprint.compare_with_live(context, fingerprint.planned_fingerprint(settings, commit))
    return DeployPlan(changes, time.time(), differences)


def after_deploy(settings: Settings) -> list[str]:
    """Return what the settings have a deploy do after it went live, as sentences."""
    sentences = []
    if settings.dedupe == "all":
        sentences.append(tr("Then dedupes all versions (dedupe = all)."))
    if settings.prune_after_deploy:
        younger = settings.keep_younger
        sentences.append(
            tr(
                "Then REMOVES old versions (prune_after_deploy): the latest {keep_versions} good ones{young} "
                "stay; Prune shows which.",
                keep_versions=settings.keep_versions,
                young=tr(" and those younger than {keep_younger}", keep_younger=younger) if younger else "",
            )
        )
    return sentences


def rollback_target(settings: Settings, snapshot: Snapshot) -> VersionRow | None:
    """Return the version that a rollback without a name leads to; None when there is none."""
    from govma_core.promotion.rollback import previous

    try:
        return snapshot.version(previous(Context.for_reading(settings), snapshot.pointer.version).name)
    except (GovmaError, OSError):
        return None


def plan_switch(settings: Settings, snapshot: Snapshot, target: VersionRow) -> SwitchPlan:
    """Compare the live version with another one; never fails, what is not known is None."""
    source = snapshot.pointer.version or ""
    times = [promotion.at for promotion in snapshot.promotions if promotion.version == target.name]
    undone, added, why = _between(settings, snapshot.current, target)
    was_live, last = snapshot.was_live(target.name), max(times, default=0.0)
    env_difference = env_file.difference(target.manifest, settings.env_file)
    return SwitchPlan(source, target, undone, added, last, was_live, why, env_difference)


def _between(
    settings: Settings, live: VersionRow | None, target: VersionRow
) -> tuple[list[Commit] | None, list[Commit] | None, str]:
    """Return the commits that a switch would undo, those it would add, and why these are not known."""
    if live is None:
        return None, None, tr("nothing is live")
    if live.manifest is None or target.manifest is None:
        nameless = tr(" and ").join(row.name for row in (live, target) if row.manifest is None)
        return None, None, tr("no commit is recorded for {nameless}", nameless=nameless)
    before, after = live.manifest.commit, target.manifest.commit
    if before == after:
        return [], [], ""
    from govma_core.deploy.source import Checkout

    try:
        with closing(Checkout(settings, silent())) as checkout:
            undone, added = checkout.between(after, before), checkout.between(before, after)
    except (GovmaError, OSError) as error:
        return None, None, str(error).split("\n")[0]
    return undone, added, "" if undone is not None else tr("the checkout does not have both commits")
