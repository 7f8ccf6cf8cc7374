"""Commands about what goes live: deploy, promote, rollback, check, pending."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING

from govma_console.cli.command import DETACH, OPTIONAL_VERSION, VERSION, argument, command, flag, follow_or_detach
from govma_console.config_option import narrating_context
from govma_console.formats import local_time
from govma_console.output import print_json, print_table, say
from govma_core.errors import ExitCode
from govma_core.runs.store import RunRecord
from govma_core.text.language import tr

if TYPE_CHECKING:
    from govma_core.deploy.commits import Commit
    from govma_core.deploy.pending import Pending

REF = argument("--ref", metavar="REF", help=tr("branch, tag or commit instead of the configured branch"))
NO_REHEARSAL = flag("--no-rehearsal", tr("don't test the version before the switch (this is recorded)"))


@command(
    "deploy",
    tr("build the remote's branch as a new version and make it live"),
    REF,
    flag("--rebuild", tr("build the assets even if a cached build could be used")),
    flag("--no-promote", tr("publish the version, but don't make it live")),
    NO_REHEARSAL,
    flag("--force", tr("deploy even while deploys, or those of this commit, are held (this is recorded)")),
    flag("--if-new", tr("make nothing when the live version was made from the same commit, files and builder")),
    DETACH,
    examples=(
        "govma-console deploy",
        "govma-console deploy --if-new",
        "govma-console deploy --ref v2.4 --no-promote",
        "govma-console deploy --detach",
    ),
)
def deploy(options: argparse.Namespace) -> int:
    """Start a deploy."""
    arguments = {"ref": options.ref, "rebuild": options.rebuild, "promote": not options.no_promote}
    arguments |= _rehearsal(options)
    arguments |= {name: True for name in ("force", "if_new") if getattr(options, name)}
    return follow_or_detach(options, "deploy", arguments, _print_version)


@command(
    "promote",
    tr("make a version live, or prove the live one once more"),
    VERSION,
    NO_REHEARSAL,
    DETACH,
    examples=("govma-console promote 2026-11-24-08h30",),
)
def promote(options: argparse.Namespace) -> int:
    """Start a promotion."""
    arguments = {"version": options.version_name} | _rehearsal(options)
    return follow_or_detach(options, "promote", arguments, _print_version)


@command(
    "rollback",
    tr("go back to the version that was live before, or to a named one"),
    OPTIONAL_VERSION,
    flag("--keep-mark", tr("don't mark the current version as bad, and don't hold deploys of its commit")),
    flag("--current-env", tr("put the present env_file into that version before the switch")),
    DETACH,
    examples=("govma-console rollback", "govma-console rollback 2026-11-20 --current-env"),
)
def rollback(options: argparse.Namespace) -> int:
    """Start a rollback."""
    flags = {name: True for name in ("keep_mark", "current_env") if getattr(options, name)}
    arguments = {"version": options.version_name} | flags
    return follow_or_detach(options, "rollback", arguments, _print_version)


@command(
    "check",
    tr("test a version as a deploy would, without making it live"),
    VERSION,
    DETACH,
    examples=("govma-console check 2026-11-24-08h30",),
)
def check(options: argparse.Namespace) -> int:
    """Start the rehearsal of a version."""
    return follow_or_detach(options, "check", {"version": options.version_name}, _print_version)


def _rehearsal(options: argparse.Namespace) -> dict[str, bool]:
    return {"rehearse": False} if options.no_rehearsal else {}


def _print_version(record: RunRecord) -> None:
    if record.exit_code == ExitCode.OK:
        print(record.version)


@command(
    "pending",
    tr("list the commits between what is live and what would be deployed"),
    REF,
    flag("--no-fetch", tr("don't fetch; compare with what was fetched last")),
    examples=("govma-console pending", "govma-console pending --ref v2.4"),
)
def pending(options: argparse.Namespace) -> None:
    """Print the commits that a deploy would bring, and those that it would take away."""
    from govma_core.deploy.pending import pending as find_pending

    difference = find_pending(narrating_context(options), ref=options.ref, fetch=not options.no_fetch)
    error = difference.error()
    if options.json:
        print_json(dataclasses.asdict(difference) | {"refusal": str(error or "")})
    else:
        _print_pending(difference)
    if error:
        raise error


def _print_pending(difference: Pending) -> None:
    live, target = difference.live, difference.target
    if difference.commits is None:
        reason = tr("{live} has no recorded commit", live=live) if live else tr("nothing is live")
        say(
            tr(
                "{short} {subject} would be deployed; {what}, so there is no list.",
                short=target.short,
                subject=target.subject,
                what=reason,
            )
        )
    else:
        if not difference.commits and not difference.undone:
            say(tr("Nothing is pending: {short} is live.", short=target.short))
        _print_commits(difference.commits)
        if difference.undone:
            say(
                tr(
                    "Live now, and not in {short} {subject}, which would be deployed:",
                    short=target.short,
                    subject=target.subject,
                )
            )
            _print_commits(difference.undone)
    for sentence in (difference.warning, difference.containers):
        if sentence:
            say(sentence)


def _print_commits(commits: list[Commit]) -> None:
    if commits:
        rows = [(commit.short, local_time(commit.committed), commit.author, commit.subject) for commit in commits]
        print_table((tr("COMMIT"), tr("TIME"), tr("AUTHOR"), tr("SUBJECT")), rows, cut=(3, 2), drop=(1,))
