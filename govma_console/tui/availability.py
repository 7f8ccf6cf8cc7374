"""Return why an action is not available now, as a sentence; '' when it is."""

from __future__ import annotations

from dataclasses import dataclass

from govma_console.tui.site_state import Snapshot
from govma_console.version_row import VersionRow
from govma_core.runs.store import RunRecord
from govma_core.text.language import tr


@dataclass(frozen=True, slots=True)
class Situation:
    """The facts that decide whether an action is available: the site, the selected version, the run in the log pane."""

    snapshot: Snapshot
    selected: VersionRow | None
    shown_run: RunRecord | None
    searching: bool = False


def always(now: Situation) -> str:
    """Return no reason: the action is always available."""
    return ""


def can_start(now: Situation) -> str:
    """Return why no run can be started."""
    if now.snapshot.read_only:
        return now.snapshot.read_only
    active = now.snapshot.active
    if active is not None:
        return tr(
            "{operation} {id}, started by {by}, is running; one run at a time.",
            operation=active.operation,
            id=active.id,
            by=active.by,
        )
    if now.snapshot.holder is not None:
        return now.snapshot.holder.sentence()
    return ""


def can_roll_back(now: Situation) -> str:
    """Return why there is nothing to go back to."""
    if len(now.snapshot.versions) < 2:
        return tr("There is no other version to go back to.")
    return can_start(now)


def can_promote(now: Situation) -> str:
    """Return why the selected version cannot be made live."""
    row = now.selected
    if row is None:
        return tr("No version is selected.")
    if row.is_live:
        return tr("{name} is live already; select another version.", name=row.name)
    if not row.version.complete:
        return tr("{name} is incomplete (no html/ or no system/ in it).", name=row.name)
    return can_start(now)


def can_check(now: Situation) -> str:
    """Return why the selected version cannot be tried."""
    if now.selected is None:
        return tr("No version is selected.")
    if not now.snapshot.rehearsed:
        return tr("There is nothing to test a version in: set the table [rehearsal] of the settings.")
    if not now.selected.version.complete:
        return tr("{name} is incomplete (no html/ or no system/ in it).", name=now.selected.name)
    return can_start(now)


def has_versions(now: Situation) -> str:
    """Return why there is no version to work on."""
    return can_start(now) if now.snapshot.versions else tr("There are no versions.")


def can_pin(now: Situation) -> str:
    """Return why the selected version cannot be pinned or let go."""
    return now.snapshot.read_only if now.selected else tr("No version is selected.")


def can_hold(now: Situation) -> str:
    """Return why deploys cannot be held."""
    return now.snapshot.read_only


def can_release(now: Situation) -> str:
    """Return why there is no hold to end."""
    return now.snapshot.read_only if now.snapshot.holds else tr("Nothing is held.")


def can_cancel(now: Situation) -> str:
    """Return why there is no run to cancel."""
    return now.snapshot.read_only if now.snapshot.active else tr("Nothing is running.")


def has_run(now: Situation) -> str:
    """Return why the selected version has no run to show."""
    if now.selected is None:
        return tr("No version is selected.")
    if now.selected.manifest is None:
        return tr("{name} was not made by a run of govma-console; there is no log.", name=now.selected.name)
    if now.snapshot.run(now.selected.manifest.run) is None:
        return tr("The record of run {run} is gone (keep_runs).", run=now.selected.manifest.run)
    return ""


def has_runs(now: Situation) -> str:
    """Return why there is no list of runs."""
    return "" if now.snapshot.runs else tr("There was no run yet.")


def has_log(now: Situation) -> str:
    """Return why there is no log to work on."""
    return "" if now.shown_run is not None else tr("No log is shown.")


def has_search(now: Situation) -> str:
    """Return why there is no match to go to."""
    return "" if now.searching else tr("Search first: press / and type what to look for.")
