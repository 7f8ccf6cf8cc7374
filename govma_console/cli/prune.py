"""Commands about what is kept: prune, pin, unpin."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time

from govma_console.config_option import effective
from govma_console.output import print_json, print_table, say, warn
from govma_core.errors import ExitCode, RefusedError, UsageError
from govma_core.fs.permissions import cannot_know
from govma_core.runs.launch import local_requester, prepared_store
from govma_core.runs.store import RunRecord
from govma_core.settings import Settings
from govma_core.text.clean import bytes_text
from govma_core.text.language import tr
from govma_core.versions.marks import PinStore
from govma_core.versions.store import PREFIX, VersionStore, version_time


def prune(given: argparse.Namespace) -> int:
    """Start a prune; with --dry-run print what it would do."""
    _check(given)
    if given.dry_run:
        return _print_plan(given)
    from govma_console.cli.deploy import follow_or_detach

    return follow_or_detach(given, "prune", {"keep": given.keep, "older_than": given.older_than}, _show_removed)


def pin(given: argparse.Namespace) -> int:
    """Pin a version, so that prune keeps it."""
    settings = effective(given)
    store, pins = VersionStore(settings.versions_dir), PinStore(settings.state_dir)
    name = store.find(given.wanted).name
    if version_time(name) is None:
        raise RefusedError(
            tr("{name} is not the name of a version: prune never touches it, so there is nothing to pin.", name=name)
        )
    prepared_store(settings)
    made = pins.pin(name, local_requester("cli").by, given.reason, time.time())
    if name not in {version.name for version in store.versions()}:
        # A prune that looks for pins once more before it removes a version was faster.
        pins.unpin(name)
        raise RefusedError(
            tr("{name} has just been removed. There are:\n{listing}", name=name, listing=store.listing())
        )
    if given.json:
        print_json(dataclasses.asdict(made))
    else:
        say(name)
    return ExitCode.OK


def unpin(given: argparse.Namespace) -> int:
    """Take the pin of a version away."""
    settings = effective(given)
    pins = PinStore(settings.state_dir)
    name = _pinned(settings, given.wanted, list(pins.read()))
    was = pins.unpin(name)
    if given.json:
        print_json({"version": name, "unpinned": was})
    else:
        if not was:
            warn(tr("{name} is not pinned; nothing to do.", name=name))
        say(name)
    return ExitCode.OK


def _show_removed(record: RunRecord) -> None:
    # Also of one that failed or was cancelled: what is gone is gone.
    for name in record.details.get("removed", ()):
        say(name)


def _pinned(settings: Settings, wanted: str, pinned: list[str]) -> str:
    """Return the one pinned version that `wanted` begins, also one that is gone; else the version that it names."""
    found = [name for name in pinned if wanted and name.removeprefix(PREFIX).startswith(wanted.removeprefix(PREFIX))]
    return found[0] if len(found) == 1 else VersionStore(settings.versions_dir).find(wanted).name


def _check(given: argparse.Namespace) -> None:
    """Refuse what makes no sense before a run is started for it."""
    from govma_core.text.durations import age_seconds

    if given.keep is not None and given.keep < 1:
        raise UsageError(tr("--keep {keep}: at least one good version is kept; name 1 or more.", keep=given.keep))
    if given.older_than is not None:
        try:
            age_seconds(given.older_than)
        except ValueError as error:
            raise UsageError(tr("--older-than: {error}.", error=error)) from None
    if given.dry_run and given.detach:
        raise UsageError(tr("--dry-run starts no run that could be left behind: leave --detach out."))


def _print_plan(given: argparse.Namespace) -> int:
    from govma_console.narration import Narrator
    from govma_core.context import Context
    from govma_core.prune import prune as operation
    from govma_core.reporting import Reporter

    settings = effective(given)
    if unread := cannot_know(settings.state_dir):
        raise RefusedError(unread)
    context = Context.for_reading(settings, Reporter(Narrator(sys.stderr).tell))
    plan = operation.plan(context, keep=given.keep, older_than=given.older_than)
    if given.json:
        print_json(plan.as_dict())
        return ExitCode.OK
    rows = [
        (
            found.name,
            tr("keep") if found.keep else tr("REMOVE"),
            found.why,
            "" if found.keep else bytes_text(found.frees),
        )
        for found in plan.decisions
    ]
    print_table((tr("VERSION"), tr("PLAN"), tr("WHY"), tr("FREES")), rows, cut=(2,))
    removed = len(plan.removals)
    say(
        tr(
            "{removed} of {count} versions would be removed, {frees} freed.",
            removed=removed,
            count=len(rows),
            frees=bytes_text(plan.frees),
        )
    )
    for warning in plan.warnings:
        warn(tr("warning: {warning}", warning=warning))
    return ExitCode.OK
