"""The commits that a deploy would bring."""

from __future__ import annotations

import argparse
import dataclasses
import sys

from govma_console.commands.settings import effective
from govma_console.narration import Narrator
from govma_console.output import print_json, print_table, say
from govma_console.times import local_time
from govma_core.build.commit import Commit
from govma_core.errors import ExitCode
from govma_core.language import tr
from govma_core.operations.context import Context
from govma_core.operations.pending import pending
from govma_core.reporting import Reporter


def show_pending(given: argparse.Namespace) -> int:
    """Print the commits between what is live and what would be deployed."""
    context = Context.for_reading(effective(given), Reporter(Narrator(sys.stderr).tell))
    found = pending(context, ref=given.ref, fetch=not given.no_fetch)
    if given.json:
        print_json(dataclasses.asdict(found))
        return ExitCode.OK
    if found.commits is None:
        what = tr("{live} has no recorded commit", live=found.live) if found.live else tr("nothing is live")
        say(
            tr(
                "{short} {subject} would be deployed; {what}, so there is no list.",
                short=found.target.short,
                subject=found.target.subject,
                what=what,
            )
        )
        _say_containers(found.containers)
        return ExitCode.OK
    if not found.commits and not found.undone:
        say(tr("Nothing is pending: {short} is live.", short=found.target.short))
    _print(found.commits)
    if found.undone:
        say(tr("Live now, and not in what would be deployed:"))
        _print(found.undone)
    _say_containers(found.containers)
    return ExitCode.OK


def _say_containers(sentence: str) -> None:
    if sentence:
        say(sentence)


def _print(commits: list[Commit]) -> None:
    if commits:
        rows = [(commit.short, local_time(commit.committed), commit.author, commit.subject) for commit in commits]
        print_table((tr("COMMIT"), tr("TIME"), tr("AUTHOR"), tr("SUBJECT")), rows, cut=(3, 2), drop=(1,))
