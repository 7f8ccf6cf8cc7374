"""A clock that is set back while a run goes on: at each event, by seconds, hours and years."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.faults.result import Result
from tests.support.crashes import CrashSite

OPERATIONS = ("deploy", "rollback", "promote", "dedupe", "prune")
_BACK = (2, 3600, 30_000_000)


def sweep(folder: Path, step: int = 1, operations: Sequence[str] = OPERATIONS) -> Result:
    """Set it back at every `step`th event of each operation; all have to succeed."""
    folder.chmod(0o755)
    site, rng, times = CrashSite.make(folder / "site"), random.Random(5), 0
    for operation in operations:
        _, _, out = site.run("none", operation, **site.prepare(operation, rng))
        site.recover()
        for number in range(1, int(out.split()[0]) + 1, step):
            back = _BACK[number % len(_BACK)]
            record, code, _ = site.run(f"clock:{number}:{back}", operation, **site.prepare(operation, rng))
            if code != 0 or record.state != "ok":
                site.problems.append(f"{operation}, {back} s back at event {number}: {record.message}")
            site.check(f"{operation}, {back} s back at event {number}", record, killed=False)
            site.recover()
            times += 1
    for problem in site.problems[:20]:
        print(f"  {problem}", file=sys.stderr)
    return Result(
        "the clock set back in the middle of a run", f"{times} runs", "all went well", len(site.problems), times
    )
