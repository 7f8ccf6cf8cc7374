"""Commands about what may go live, and what was live: hold, release, history."""

from __future__ import annotations

import argparse
import time

from govma_console import reports
from govma_console.cli.command import MOST, argument, command
from govma_console.config_option import effective, prepare_change
from govma_console.formats import local_time
from govma_console.output import print_json, print_table, say, warn
from govma_core.errors import RefusedError, UsageError
from govma_core.runs.store import RunStore
from govma_core.settings import Settings
from govma_core.text.language import tr
from govma_core.text.times import moment_to_come
from govma_core.versions.history import Span
from govma_core.versions.holds import Hold, HoldStore


@command(
    "hold",
    tr("hold all deploys until somebody releases them"),
    argument("reason", nargs="*", metavar="REASON", help=tr("reason, shown to anyone who tries to deploy")),
    argument(
        "--until",
        metavar="T",
        help=tr("when the hold ends: 2026-11-24T08:00, 2026-11-24, 18:30, or a time from now such as 2h"),
    ),
    examples=('govma-console hold "election night" --until 18:30', "govma-console hold --until 2h"),
)
def hold(options: argparse.Namespace) -> None:
    """Hold all deploys, in place of an earlier hold by hand."""
    reason = " ".join(options.reason)
    if options.reason and not 0 < len(reason.strip()) <= 255:
        raise UsageError("The argument {name} must be a text of 1 to 255 printable characters.", name="REASON")
    now, settings = time.time(), effective(options)
    try:
        until = moment_to_come(options.until, now) if options.until is not None else 0.0
    except ValueError as error:
        raise UsageError("--until: {error}.", error=error) from None
    by = prepare_change(settings)
    store = HoldStore(settings.state_dir)
    earlier = store.read().by_hand
    new = store.hold(reason, by, now, until)
    if options.json:
        print_json(new)
    else:
        say(tr("{sentence} `govma-console release` ends that.", sentence=new.sentence()))
        if earlier is not None:
            say(tr("That replaces an earlier hold: {sentence}", sentence=earlier.sentence()))
    _warn_of_deploys(settings)


def _warn_of_deploys(settings: Settings) -> None:
    for run in RunStore(settings.state_dir).active():
        if run.operation == "deploy":
            warn(
                tr(
                    "Deploy {id} (by {by}) is still running: what it builds will not go live while this hold lasts.",
                    id=run.id,
                    by=run.by,
                )
            )


@command(
    "release",
    tr("end all holds, including those that rollbacks left (or only that of COMMIT)"),
    argument("commit", nargs="?", metavar="COMMIT", help=tr("a held commit, or any unambiguous prefix of it")),
    examples=("govma-console release", "govma-console release 3f2a91c"),
)
def release(options: argparse.Namespace) -> None:
    """End all holds, or that of one commit."""
    settings = effective(options)
    prepare_change(settings)
    store = HoldStore(settings.state_dir)
    if options.commit is None:
        ended_holds = store.release()
    else:
        ended_holds = store.release_commit(_find_hold(store, options.commit).commit)
    if options.json:
        print_json({"released": ended_holds})
        return
    for ended in ended_holds:
        say(tr("Released: {sentence}", sentence=ended.sentence()))
    if not ended_holds:
        warn(tr("Nothing was held."))


def _find_hold(store: HoldStore, prefix: str) -> Hold:
    """Return the one hold of a commit that begins with `prefix`."""
    if not prefix:
        raise UsageError("No commit is named. Without COMMIT all holds end.")
    commits = store.read().commits
    matches = [hold for hold in commits if hold.commit.startswith(prefix.lower())]
    if len(matches) == 1:
        return matches[0]
    listing = "\n".join(f"  {hold.commit[:12]} {hold.version}" for hold in commits) or tr("  (none)")
    if matches:
        raise UsageError(
            "{wanted!r} does not name one held commit. There are:\n{listed}", wanted=prefix, listed=listing
        )
    raise RefusedError(
        "Deploys of commit {wanted!r} are not held. Held commits:\n{listed}", wanted=prefix, listed=listing
    )


@command(
    "history",
    tr("show which version was live from when to when, by whom, how, and with what result"),
    MOST,
)
def history(options: argparse.Namespace) -> None:
    """Print which version was live from when to when, the latest first."""
    if options.most < 1:
        raise UsageError("-n {most}: the number of lines must be 1 or more.", most=options.most)
    spans = reports.history(effective(options), options.most)
    if options.json:
        print_json(spans)
        return
    header = (tr("VERSION"), tr("LIVE FROM"), tr("UNTIL"), tr("HOW"), tr("BY"), tr("RESULT"), tr("RUN"))
    print_table(header, [_row(span) for span in spans], cut=(5,), drop=(6, 4))


def _row(span: Span) -> tuple[str, ...]:
    until = tr("still live") if span.until is None else local_time(span.until) or tr("not recorded")
    how = tr(span.how) if span.how else tr("set by hand")
    return (span.version, local_time(span.since) or tr("not recorded"), until, how, span.by, tr(span.result), span.run)
