"""Commands about which versions are kept: prune, pin, unpin."""

from __future__ import annotations

import argparse
import time

from govma_console.cli.command import DETACH, VERSION, argument, command, flag, follow_or_detach, is_dry_run
from govma_console.config_option import effective, narrating_context, prepare_change
from govma_console.output import print_json, print_table, say, warn
from govma_core.errors import ExitCode, RefusedError, UsageError
from govma_core.fs.permissions import cannot_know
from govma_core.runs.store import RunRecord
from govma_core.settings import Settings
from govma_core.text.clean import bytes_text
from govma_core.text.language import tr
from govma_core.text.times import age_seconds
from govma_core.versions.marks import PinStore
from govma_core.versions.store import PREFIX, VersionStore, version_time


@command(
    "prune",
    tr("remove old versions that there is no reason to keep"),
    argument("--keep", type=int, metavar="N", help=tr("good versions to keep (setting keep_versions)")),
    argument(
        "--older-than",
        metavar="AGE",
        help=tr("keep what is younger, such as 30d or 12h (setting keep_younger)"),
    ),
    flag("--dry-run", tr("print what would be removed and why, and remove nothing")),
    DETACH,
    examples=("govma-console prune --dry-run", "govma-console prune --keep 3 --older-than 30d"),
)
def prune(options: argparse.Namespace) -> int:
    """Start a prune; with --dry-run print its plan."""
    if options.keep is not None and options.keep < 1:
        raise UsageError("--keep {keep}: at least one good version is kept; name 1 or more.", keep=options.keep)
    if options.older_than is not None:
        try:
            age_seconds(options.older_than)
        except ValueError as error:
            raise UsageError("--older-than: {error}.", error=error) from None
    if is_dry_run(options):
        return _print_plan(options)
    arguments = {"keep": options.keep, "older_than": options.older_than}
    return follow_or_detach(options, "prune", arguments, _print_removed)


def _print_removed(record: RunRecord) -> None:
    # Also after a failure or a cancellation: those versions are removed all the same.
    for name in record.details.get("removed", ()):
        say(name)


def _print_plan(options: argparse.Namespace) -> int:
    from govma_core.prune.prune import plan as make_plan

    if unread := cannot_know(effective(options).state_dir):
        raise RefusedError(unread)
    plan = make_plan(narrating_context(options), keep=options.keep, older_than=options.older_than)
    if options.json:
        print_json(plan.as_dict())
        return ExitCode.OK
    rows = [
        (
            decision.name,
            tr("keep") if decision.keep else tr("REMOVE"),
            decision.why,
            "" if decision.keep else bytes_text(decision.frees),
        )
        for decision in plan.decisions
    ]
    print_table((tr("VERSION"), tr("PLAN"), tr("WHY"), tr("FREES")), rows, cut=(2,))
    say(
        tr(
            "{removed} of {count} versions would be removed, {frees} freed.",
            removed=len(plan.removals),
            count=len(rows),
            frees=bytes_text(plan.frees),
        )
    )
    for warning in plan.warnings:
        warn(tr("warning: {warning}", warning=warning))
    return ExitCode.OK


@command(
    "pin",
    tr("keep prune from removing a version"),
    VERSION,
    argument("--reason", metavar="TEXT", help=tr("reason, shown in the list of versions")),
    examples=('govma-console pin 2026-11-24-08h30 --reason "before the redesign"',),
)
def pin(options: argparse.Namespace) -> None:
    """Pin a version, so that prune keeps it, and print its name."""
    settings = effective(options)
    store, pins = VersionStore(settings.versions_dir), PinStore(settings.state_dir)
    name = store.find(options.version_name).name
    if version_time(name) is None:
        raise RefusedError(
            "{name} is not the name of a version: prune never touches it, so there is nothing to pin.", name=name
        )
    by = prepare_change(settings)
    new = pins.pin(name, by, options.reason, time.time())
    if name not in {version.name for version in store.versions()}:
        # A prune looks for pins once more before it removes a version; this one looked before the pin was there.
        pins.unpin(name)
        raise RefusedError("{name} has just been removed. There are:\n{listing}", name=name, listing=store.listing())
    print_json(new) if options.json else say(name)


@command("unpin", tr("let prune remove a version again"), VERSION)
def unpin(options: argparse.Namespace) -> None:
    """Take the pin of a version away, and print its name."""
    settings = effective(options)
    pins = PinStore(settings.state_dir)
    name = _find_pinned(settings, options.version_name, list(pins.read()))
    was_pinned = pins.unpin(name)
    if options.json:
        print_json({"version": name, "unpinned": was_pinned})
    else:
        if not was_pinned:
            warn(tr("{name} is not pinned; nothing to do.", name=name))
        say(name)


def _find_pinned(settings: Settings, prefix: str, names: list[str]) -> str:
    """Return the one pinned version that begins with `prefix`, also a removed one; else the version of that name."""
    matches = [name for name in names if prefix and name.removeprefix(PREFIX).startswith(prefix.removeprefix(PREFIX))]
    return matches[0] if len(matches) == 1 else VersionStore(settings.versions_dir).find(prefix).name
