"""What is live, what runs, what the last run came to."""

from __future__ import annotations

import argparse

from govma_console import reports
from govma_console.commands.settings import effective
from govma_console.output import print_json, say
from govma_console.times import age, local_time
from govma_core.errors import ExitCode


def status(given: argparse.Namespace) -> int:
    """Print a few lines, or the same as JSON."""
    found = reports.status(effective(given))
    if given.json:
        print_json(found.plain())
        return ExitCode.OK
    pointer, made, since, last = found.pointer, found.manifest, found.since, found.last
    say(f"current-version  {pointer.version or 'none'}")
    if pointer.problem:
        say(f"  problem        {pointer.problem}")
    if made:
        say(f"  commit         {made.commit[:9]}  {made.subject}  ({made.author})")
    if since:
        say(f"  live since     {local_time(since.at)} ({age(since.at)}), {since.how} by {since.by}")
    elif pointer.version and not found.unread:
        say("  live since     not recorded: the link was set by hand or by deploy.sh")
    if found.mark:
        say(f"  mark           {found.mark.sentence()}")
    for hold in found.holds.all:
        say(f"held             {hold.sentence()}")
    if found.unread:
        say(f"runs             not known: {found.unread}")
        return ExitCode.OK
    say(f"running          {found.holder.sentence() if found.holder else 'nothing'}")
    for waiting in found.waiting:
        say(f"waiting          {waiting.operation} {waiting.id}, asked for by {waiting.by}")
    if last and last.ended:
        lines = last.message.split("\n")[:1]
        say(f"last run         {last.id}  {last.operation}: {last.state}, {age(last.finished or last.created)}")
        say("\n".join(f"  {line}" for line in lines))
    return ExitCode.OK
