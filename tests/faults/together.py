"""Everything started at once: commands, the HTTP server, and runs of the core. One runs, the others say who."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

from tests.faults.result import Result
from tests.support.command import Command
from tests.support.crashes import CrashSite
from tests.support.gates import idle
from tests.support.server import Server

_COMMANDS = 20


def sweep(folder: Path, times: int = 5) -> Result:
    """Start 20 commands of all kinds, two servers' worth of requests and look who ran."""
    folder.chmod(0o755)
    site = CrashSite.make(folder / "site")
    began = time.monotonic()
    ran = busy = 0
    with Server(site.sample) as server:
        for _ in range(times):
            done = _at_once(site, server)
            ran += sum(code == 0 or (code == -1 and "exit code 0" in text) for code, text in done)
            busy += sum(code == 4 for code, _ in done)
            idle(site.store)
            _judge(site, done)
    site.recover()
    for problem in site.problems[:20]:
        print(f"  {problem}", file=sys.stderr)
    return Result(
        f"{_COMMANDS} commands and two requests over HTTP started at the same moment",
        f"{times} times, {ran} ran",
        f"{busy} were told who runs; {time.monotonic() - began:.0f} s",
        len(site.problems),
        min(ran, busy),
    )


def _at_once(site: CrashSite, server: Server) -> list[tuple[int, str]]:
    command = Command(site.sample.config_file, site.settings.state_dir)
    other = _other(site)
    if not other:
        # The prune before has taken those that a rollback marked.
        command.run("deploy", "--force")
        other = _other(site)
    kinds = (["deploy"], ["promote", other], ["dedupe"], ["prune", "--keep", "3"], ["rollback"])

    def ask(number: int) -> tuple[int, str]:
        if number < _COMMANDS:
            done = command.run(*kinds[number % len(kinds)])
            return done.code, done.err
        line = ["curl", "-sS", "--max-time", "60", f"{server.url}/deploy"]
        return -1, subprocess.run(line, capture_output=True, text=True, check=True).stdout

    with ThreadPoolExecutor(_COMMANDS + 2) as pool:
        return list(pool.map(ask, range(_COMMANDS + 2)))


def _other(site: CrashSite) -> str:
    live = site.versions.pointer().version
    return next((each.name for each in site.versions.versions() if each.name != live and each.complete), "")


def _judge(site: CrashSite, done: list[tuple[int, str]]) -> None:
    for code, text in done:
        if code == 4 and "is running" not in text and "just starting or ending" not in text:
            site.problems.append(f"a command was refused and not told who runs: {text}")
        if code not in (-1, 0, 4, 5):
            site.problems.append(f"a command ended with {code}: {text}")
        # A rollback of the same moment may hold the commit.
        if code == -1 and "exit code 0" not in text and "refused, exit code 5" not in text:
            site.problems.append(f"a request over HTTP was not served: {text[-300:]}")
    spans = sorted((run.started, run.finished, run.id) for run in site.store.records() if run.started and run.finished)
    for (_, ended, first), (began, _, second) in pairwise(spans):
        if began < ended - 0.05:
            site.problems.append(f"runs {first} and {second} ran at the same time")
    site.problems += [f"left over: {path}" for path in site.leftovers()]
    site.check("all at once", next(site.store.records()), killed=False)
