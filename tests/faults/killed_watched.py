"""Runners killed while the HTTP server streams them and the console shows them: both tell it and live on."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from govma_core.runs.record import RunRecord
from tests.faults.result import Result
from tests.support.crashes import CrashSite
from tests.support.server import Server
from tests.support.tmux import Terminal
from tests.support.waiting import wait_for


def sweep(folder: Path, kills: int = 40, seed: int = 9) -> Result:
    """Ask for deploys over HTTP, and kill them; after each the answer has ended with what became of the run."""
    folder.chmod(0o755)
    site, rng, began, early = CrashSite.make(folder / "site"), random.Random(seed), time.monotonic(), 0
    with Server(site.sample) as server:
        console = Terminal.open(site.sample.config_file, (120, 40), GOVMA_LANGUAGE="en")
        try:
            console.sees("Deploy")
            for _ in range(kills):
                early += _once(site, server, console, rng)
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
        "kill -9 of a deploy that the HTTP server streams and the console shows; then everything is looked at",
        f"{kills} at a random moment ({early} before the end)",
        f"every answer and the console told it; {time.monotonic() - began:.0f} s",
        len(site.problems),
        early,
    )


def _once(site: CrashSite, server: Server, console: Terminal, rng: random.Random) -> bool:
    site.sample.commit({"data/html/robots.txt": f"{rng.random()}"}, "Outra")
    line = ["curl", "-sSN", "--max-time", "60", f"{server.url}/deploy"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as curl:
        record = wait_for(lambda: _working(site), "the run")
        time.sleep(rng.uniform(0, 0.8))
        record.process.signal(signal.SIGKILL)
        told = curl.communicate()[0]
    record = site.store.read(record.id)
    early = record.state == "interrupted"
    wanted = f"run {record.id}: {record.state}, exit code {record.exit_code}"
    if wanted not in told:
        site.problems.append(f"curl was not told {wanted!r}: {told[-300:]!r}")
    if early:
        console.sees("interrupted")
    site.check("killed while it was watched", record, killed=early)
    site.recover()
    return early


def _working(site: CrashSite) -> RunRecord | None:
    going = site.store.going()
    return going if going is not None and going.pid else None
