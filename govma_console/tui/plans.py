"""What a deploy, a rollback or a promotion would bring: compared by git before it is started.

These functions take time: call them in a thread.
"""

from __future__ import annotations

import threading
import time
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
from govma_core.versions.holds import Hold, HoldStore

if TYPE_CHECKING:
    from govma_core.deploy.source import Commit


_fetching = threading.Lock()
"""Two fetches at once in one checkout get in each other's way."""


@dataclass(frozen=True, slots=True)
class CommitLine:
    """A commit as a dialog shows it."""

    short: str
    subject: str
    author: str
    sha: str


@dataclass(frozen=True, slots=True)
class DeployPlan:
    """What a deploy would bring; `commits` and `undone` are None when the live commit is not known."""

    live: str
    live_commit: str
    target: CommitLine
    commits: list[CommitLine] | None
    undone: list[CommitLine] | None
    fetched: float
    held: Hold | None = None
    """What this deploy would have to be forced against."""
    containers: str = ""
    """What the containers need besides, as a sentence."""


@dataclass(frozen=True, slots=True)
class SwitchPlan:
    """What a switch of the link would do: commits that go and come (None: not known), when the target was live."""

    source: str
    target: VersionRow
    undone: list[CommitLine] | None
    added: list[CommitLine] | None
    last_live: float
    ever_live: bool
    why_unknown: str = ""


def plan_deploy(settings: Settings, ref: str | None) -> DeployPlan:
    """Fetch, and compare what is live with what would be deployed; GovmaError or OSError when that fails."""
    from govma_core.deploy.pending import pending

    with _fetching:
        changes = pending(Context.for_reading(settings), ref=ref)
    return DeployPlan(
        changes.live,
        changes.live_commit,
        _line(changes.target),
        _lines(changes.commits),
        _lines(changes.undone),
        time.time(),
        HoldStore(settings.state_dir).read().of(changes.target.sha),
        changes.containers,
    )


def after_deploy(settings: Settings) -> list[str]:
    """Say what the settings have a deploy do beside what is shown."""
    sentences = []
    if settings.dedupe == "all":
        sentences.append(tr("Then dedupes all versions (dedupe = all)."))
    if settings.prune_after_deploy:
        young = (
            tr(" and those younger than {keep_younger}", keep_younger=settings.keep_younger)
            if settings.keep_younger
            else ""
        )
        sentences.append(
            tr(
                "Then REMOVES old versions (prune_after_deploy): the latest {keep_versions} good ones{young} "
                "stay; Prune shows which.",
                keep_versions=settings.keep_versions,
                young=young,
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
    lived = [promotion.at for promotion in snapshot.promotions if promotion.version == target.name]
    undone, added, why = _between(settings, snapshot.current, target)
    return SwitchPlan(source, target, undone, added, max(lived, default=0.0), snapshot.was_live(target.name), why)


def _between(
    settings: Settings, current: VersionRow | None, target: VersionRow
) -> tuple[list[CommitLine] | None, list[CommitLine] | None, str]:
    if current is None or current.manifest is None or target.manifest is None:
        nameless = (
            tr("nothing is live")
            if current is None
            else tr("no commit is recorded for {nameless}", nameless=_nameless(current, target))
        )
        return None, None, nameless
    if current.manifest.commit == target.manifest.commit:
        return [], [], ""
    from govma_core.deploy.source import Checkout

    try:
        with closing(Checkout(settings, silent())) as checkout:
            undone = _lines(checkout.between(target.manifest.commit, current.manifest.commit))
            added = _lines(checkout.between(current.manifest.commit, target.manifest.commit))
    except (GovmaError, OSError) as error:
        return None, None, str(error).split("\n")[0]
    return undone, added, "" if undone is not None else tr("the checkout does not have both commits")


def _nameless(*rows: VersionRow) -> str:
    return tr(" and ").join(row.name for row in rows if row.manifest is None)


def _line(commit: Commit) -> CommitLine:
    return CommitLine(commit.short, commit.subject, commit.author, commit.sha)


def _lines(commits: list[Commit] | None) -> list[CommitLine] | None:
    return None if commits is None else [_line(commit) for commit in commits]
