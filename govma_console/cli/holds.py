"""Commands about what may go live, and what was: hold, release, history."""

from __future__ import annotations

import argparse
import dataclasses
import time

from govma_console import reports
from govma_console.config_option import effective
from govma_console.formats import local_time
from govma_console.output import print_json, print_table, say, warn
from govma_core.errors import ExitCode, RefusedError, UsageError
from govma_core.runs.launch import local_requester
from govma_core.settings import Settings
from govma_core.text.language import tr
from govma_core.versions.history import Span
from govma_core.versions.holds import Hold, HoldStore


def hold(given: argparse.Namespace) -> int:
    """Hold all deploys."""
    from govma_core.text.durations import moment_to_come

    now, settings = time.time(), effective(given)
    try:
        until = moment_to_come(given.until, now) if given.until is not None else 0.0
    except ValueError as error:
        raise UsageError(tr("--until: {error}.", error=error)) from None
    store = _store(settings)
    before = store.read().by_hand
    made = store.hold(" ".join(given.reason), local_requester("cli").by, now, until)
    if given.json:
        print_json(dataclasses.asdict(made))
    else:
        say(tr("{sentence} `govma-console release` ends that.", sentence=made.sentence()))
        if before is not None:
            say(tr("That replaces an earlier hold: {sentence}", sentence=before.sentence()))
    _warn_of_runs(settings)
    return ExitCode.OK


def release(given: argparse.Namespace) -> int:
    """End all holds, or that of one commit."""
    store = _store(effective(given))
    ended = store.release_commit(_held(store, given.commit).commit) if given.commit else store.release()
    if given.json:
        print_json({"released": [dataclasses.asdict(hold) for hold in ended]})
        return ExitCode.OK
    for found in ended:
        say(tr("Released: {sentence}", sentence=found.sentence()))
    if not ended:
        warn(tr("Nothing was held."))
    return ExitCode.OK


def history(given: argparse.Namespace) -> int:
    """Print which version was live from when to when, the latest first."""
    if given.most < 1:
        raise UsageError(tr("-n {most}: the number of lines must be 1 or more.", most=given.most))
    found = reports.history(effective(given), given.most)
    if given.json:
        print_json([dataclasses.asdict(span) for span in found])
        return ExitCode.OK
    header = (tr("VERSION"), tr("LIVE FROM"), tr("UNTIL"), tr("HOW"), tr("BY"), tr("RESULT"), tr("RUN"))
    print_table(header, [_row(span) for span in found], cut=(5,), drop=(6, 4))
    return ExitCode.OK


def _row(span: Span) -> tuple[str, ...]:
    until = tr("still live") if span.until is None else local_time(span.until) or tr("not recorded")
    how = tr(span.how) if span.how else tr("set by hand")
    return (span.version, local_time(span.since) or tr("not recorded"), until, how, span.by, tr(span.result), span.run)


def _held(store: HoldStore, wanted: str) -> Hold:
    """Return the one hold of a commit that `wanted` begins."""
    commits = store.read().commits
    found = [hold for hold in commits if hold.commit.startswith(wanted.lower())]
    if len(found) == 1:
        return found[0]
    listed = "\n".join(f"  {hold.commit[:12]} {hold.version}" for hold in commits) or tr("  (none)")
    if found:
        raise UsageError(
            tr("{wanted!r} does not name one held commit. There are:\n{listed}", wanted=wanted, listed=listed)
        )
    raise RefusedError(
        tr("Deploys of commit {wanted!r} are not held. Held commits:\n{listed}", wanted=wanted, listed=listed)
    )


def _store(settings: Settings) -> HoldStore:
    """Return the holds; RefusedError when this user may not change them."""
    from govma_core.runs.launch import prepared_store

    prepared_store(settings)
    return HoldStore(settings.state_dir)


def _warn_of_runs(settings: Settings) -> None:
    from govma_core.runs.store import RunStore

    for run in RunStore(settings.state_dir).active():
        if run.operation == "deploy":
            warn(
                tr(
                    "Deploy {id} (by {by}) is still running: what it builds will not go live while this hold lasts.",
                    id=run.id,
                    by=run.by,
                )
            )
