"""Runners killed while the HTTP server or a command streams them and the console shows them: all tell it, and go on."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from govma_core.runs.store import RunRecord
from tests.faults.result import Result
from tests.support.command import Command, environment
from tests.support.crashes import CrashSite
from tests.support.server import Server
from tests.support.tmux import Terminal
from tests.support.waiting import wait_for

OPERATIONS = ("deploy", "rollback", "deploy", "dedupe")


def sweep(folder: Path, kills: int = 40, seed: int = 9) -> Result:
    """Ask for deploys over HTTP, for rollbacks and dedupes by the command, and kill them; whoever asked is told."""
    folder.chmod(0o755)
    site, rng, began, early = CrashSite.make(folder / "site"), random.Random(seed), time.monotonic(), 0
    with Server(site.sample) as server:
        console = Terminal.open(site.sample.config_file, (120, 40), GOVMA_LANGUAGE="en")
        try:
            console.sees("Deploy")
            for number in range(kills):
                early += _once(site, server, console, rng, OPERATIONS[number % len(OPERATIONS)])
            console.keys("?")
            console.sees("Help")
        except AssertionError as error:
            site.problems.append(f"the console: {error}")
        finally:
            console.close()
        if server.process.poll() is not None or server.get("/healthz").status != 200:
            site.problems.append("the server did not outlive it")
        if "Traceback" in server.said():
            site.problems.append(f"the server said {server.said()[-2000:]}")
    for problem in site.problems[:20]:
        print(f"  {problem}", file=sys.stderr)
    return Result(
        "kill -9 of a deploy, rollback or dedupe that the HTTP server or a command streams and the console shows",
        f"{kills} at a random moment ({early} before the end)",
        f"every answer and the console told it; {time.monotonic() - began:.0f} s",
        len(site.problems),
        early,
    )


def _once(site: CrashSite, server: Server, console: Terminal, rng: random.Random, operation: str) -> bool:
    command = Command(site.sample.config_file, site.settings.state_dir)
    if operation == "deploy":
        site.sample.commit({"data/html/robots.txt": f"{rng.random()}"}, "Outra")
        line = ["curl", "-sSN", "--max-time", "60", f"{server.url}/deploy"]
    else:
        line = command.line(operation, *site.prepare(operation, rng).values())
    before = next(site.store.records()).id
    with subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, env=environment()
    ) as asking:
        record = wait_for(lambda: _begun(site, before), "the run")
        time.sleep(rng.uniform(0, 0.8 if operation == "deploy" else 0.3))
        record.process.signal(signal.SIGKILL)
        told = asking.communicate()[0]
    record = site.store.read(record.id)
    early = record.state == "interrupted"
    wanted = (
        f"run {record.id}: {record.state}, exit code {record.exit_code}" if operation == "deploy" else "interrupted"
    )
    if wanted not in told and (early or operation == "deploy"):
        site.problems.append(f"who asked for a {operation} was not told {wanted!r}: {told[-300:]!r}")
    if early:
        console.sees("interrupted")
    site.check(f"{operation} killed while it was watched", record, killed=early)
    site.recover()
    return early


def _begun(site: CrashSite, before: str) -> RunRecord | None:
    record = next(site.store.records())
    return record if record.id != before and record.pid else None
