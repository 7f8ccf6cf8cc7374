"""Runners killed with SIGKILL: at each event, at each change of a file system, and at random moments.

After each: `current-version` names a whole version, every version is what was published, the lock is free, the record
says interrupted; the next deploy succeeds and leaves nothing of the interrupted run.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.faults.result import Result
from tests.support.crashes import CrashSite

_STRAY = "env -i setsid sh -c 'while :; do : > tick; sleep 0.01; done' >/dev/null 2>&1 &"
OPERATIONS = ("deploy", "deploy", "rollback", "promote", "dedupe", "prune")


def sweep(
    folder: Path,
    moments: int = 300,
    calls: int = 20,
    step: int = 1,
    operations: Sequence[str] = OPERATIONS,
    seed: int = 7,
) -> Result:
    """Kill at every `step`th event and `calls` changes of each operation, and at random until `moments` hit it."""
    folder.chmod(0o755)
    site = CrashSite.make(folder / "site")
    # What is left of a build must not outlive the next deploy, though it has no environment to be known by.
    site.flags["install_command"] = f"sh tools/build.sh install; {_STRAY}"
    site.flags |= {"rehearsal_command": "sleep 0.05", "activation_command": "sleep 0.05"}
    rng = random.Random(seed)
    began, kills, early, late = time.monotonic(), 0, 0, 0
    faults = _faults(site, rng, operations, calls, step)
    events_wanted = len(faults)
    for fault, operation in faults:
        kills += _once(site, rng, fault, operation)
    events = kills
    if kills * 4 < events_wanted * 3:
        site.problems.append(f"{kills} kills of {events_wanted} that were wanted")
    while early < moments and late < moments:
        operation = operations[(early + late) % len(operations)]
        hit = _at_random(site, rng, operation, group=(early + late) % 3 == 0)
        early, late = early + hit, late + (not hit)
    kills += early
    for problem in site.problems[:20]:
        print(f"  {problem}", file=sys.stderr)
    return Result(
        "kill -9 of the runner (deploy, rollback, promote, dedupe, prune); then everything is looked at",
        f"{events} at an event or a change, {early} at a random moment before the end, {late} came after it",
        f"{kills + late} deploys after them, all good; {time.monotonic() - began:.0f} s",
        len(site.problems),
        kills,
    )


def _faults(
    site: CrashSite, rng: random.Random, operations: Sequence[str], calls: int, step: int
) -> list[tuple[str, str]]:
    """Return every `step`th event of each operation, and as many of its changes as are wanted, spread evenly."""
    found = []
    for operation in dict.fromkeys(operations):
        _, code, out = site.run("none", operation, **site.prepare(operation, rng))
        if code != 0:
            site.problems.append(f"{operation} failed before any kill")
            continue
        events, changes = map(int, out.split())
        site.recover()
        found += [(f"event:{number}", operation) for number in range(1, events + 1, step)]
        stride = max(1, changes // calls) if calls else changes + 1
        found += [(f"call:{number}", operation) for number in range(stride // 2 + 1, changes + 1, stride)]
    return found


def _once(site: CrashSite, rng: random.Random, fault: str, operation: str) -> bool:
    record, code, _ = site.run(fault, operation, **site.prepare(operation, rng))
    site.check(f"{operation} at {fault}", record, killed=code == -signal.SIGKILL)
    site.recover()
    return code == -signal.SIGKILL


def _at_random(site: CrashSite, rng: random.Random, operation: str, *, group: bool) -> bool:
    arguments = site.prepare(operation, rng)
    record, process = site.start("never", operation, **arguments)
    time.sleep(rng.uniform(0.05, 0.9 if operation == "deploy" else 0.35))
    if group:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.communicate(timeout=60)
    hit = process.returncode == -signal.SIGKILL
    site.check(f"{operation} at a random moment", record, killed=hit)
    site.recover()
    return hit
