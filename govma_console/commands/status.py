"""What is live, what runs, what the last run came to."""

from __future__ import annotations

import argparse
import dataclasses

from govma_console.commands.runs import as_json
from govma_console.commands.settings import effective
from govma_console.output import print_json, say
from govma_console.times import age, local_time
from govma_core.errors import ExitCode
from govma_core.runs.lock import lock_holder
from govma_core.runs.record import RunStore
from govma_core.versions.history import History
from govma_core.versions.manifest import ManifestStore
from govma_core.versions.store import VersionStore


def status(given: argparse.Namespace) -> int:
    """Print a few lines, or the same as JSON."""
    settings = effective(given)
    pointer = VersionStore(settings.versions_dir).pointer()
    manifest = ManifestStore(settings.state_dir).read(pointer.version) if pointer.version else None
    promotions = History(settings.state_dir).read()
    since = promotions[-1] if promotions and promotions[-1].version == pointer.version else None
    holder = lock_holder(settings.state_dir)
    last = RunStore(settings.state_dir).latest()
    if given.json:
        print_json(
            {
                "current": pointer.version,
                "target": pointer.target,
                "problem": pointer.problem,
                "manifest": dataclasses.asdict(manifest) if manifest else None,
                "promotion": dataclasses.asdict(since) if since else None,
                "holder": dataclasses.asdict(holder) if holder else None,
                "last_run": as_json(last) if last else None,
            }
        )
        return ExitCode.OK
    say(f"current-version  {pointer.version or 'none'}")
    if pointer.problem:
        say(f"  problem        {pointer.problem}")
    if manifest:
        say(f"  commit         {manifest.commit[:9]}  {manifest.subject}  ({manifest.author})")
    if since:
        say(f"  live since     {local_time(since.at)} ({age(since.at)}), {since.how} by {since.by}")
    elif pointer.version:
        say("  live since     not recorded: the link was set by hand or by deploy.sh")
    say(f"running          {holder.sentence() if holder else 'nothing'}")
    if last and last.ended:
        lines = last.message.split("\n")[:1]
        say(f"last run         {last.id}  {last.operation}: {last.state}, {age(last.finished or last.created)}")
        say("\n".join(f"  {line}" for line in lines))
    return ExitCode.OK
