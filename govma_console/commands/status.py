"""What is live, what runs, what the last run came to."""

from __future__ import annotations

import argparse

from govma_console import reports
from govma_console.commands.settings import effective
from govma_console.output import print_json, say
from govma_console.times import age, local_time
from govma_core.errors import ExitCode
from govma_core.language import tr


def status(given: argparse.Namespace) -> int:
    """Print a few lines, or the same as JSON."""
    found = reports.status(effective(given))
    if given.json:
        print_json(found.plain())
        return ExitCode.OK
    pointer, made, since, last = found.pointer, found.manifest, found.since, found.last
    say(tr("current-version  {version}", version=pointer.version or tr("none")))
    if pointer.problem:
        say(tr("  problem        {problem}", problem=pointer.problem))
    if made:
        say(
            tr(
                "  commit         {commit}  {subject}  ({author})",
                commit=made.commit[:9],
                subject=made.subject,
                author=made.author,
            )
        )
    if since:
        say(
            tr(
                "  live since     {local_time} ({at}), {how} by {by}",
                local_time=local_time(since.at),
                at=age(since.at),
                how=tr(since.how),
                by=since.by,
            )
        )
    elif pointer.version and not found.unread:
        say(tr("  live since     not recorded: the link was set by hand or by deploy.sh"))
    if found.mark:
        say(tr("  mark           {sentence}", sentence=found.mark.sentence()))
    for hold in found.holds.all:
        say(tr("held             {sentence}", sentence=hold.sentence()))
    if found.unread:
        say(tr("runs             not known: {unread}", unread=found.unread))
        return ExitCode.OK
    say(tr("running          {sentence}", sentence=found.holder.sentence() if found.holder else tr("nothing")))
    for waiting in found.waiting:
        say(
            tr(
                "waiting          {operation} {id}, asked for by {by}",
                operation=waiting.operation,
                id=waiting.id,
                by=waiting.by,
            )
        )
    if last and last.ended:
        say(
            tr(
                "last run         {id}  {operation}: {state}, {finished}",
                id=last.id,
                operation=last.operation,
                state=tr(last.state),
                finished=age(last.finished or last.created),
            )
        )
        first, *_ = last.message.split("\n")
        say(f"  {first}")
    return ExitCode.OK
