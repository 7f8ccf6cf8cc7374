"""Random edits of a site, and a build after each that reuses what it may: it makes what a whole build makes."""

from __future__ import annotations

import random
import sys
from pathlib import Path

from tests.faults.result import Result
from tests.support.stale_build import NAMES, StaleSite

EDITS = 300


def sweep(folder: Path, edits: int = EDITS, seed: int = 20) -> Result:
    """Edit, build, compare; a build that differs is lost."""
    folder.chmod(0o755)
    site = StaleSite(folder / "site", random.Random(seed))
    site.build()
    ran = lost = 0
    for number in range(edits):
        what = site.edit()
        expected = site.build_afresh()
        made, steps = site.build()
        ran += len(steps)
        if made != expected:
            lost += 1
            print(f"  edit {number} ({what}), ran {steps}", file=sys.stderr)
    reused = edits * len(NAMES) - ran
    return Result(
        "random edits, each followed by a build that reuses what it may",
        f"{edits} edits",
        f"{reused} of {edits * len(NAMES)} steps reused",
        lost,
        reused,
    )
