"""Run the sweeps, print their table, and write it to RESULTS.md; with names as arguments only those, and their rows."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from pathlib import Path

from tests.support.results import Table, line

SWEEPS = (
    "killed",
    "killed_watched",
    "killed_docker",
    "space",
    "clock",
    "together",
    "power",
    "power_cut",
    "hostile_build",
    "hostile_web",
    "tarballs",
    "races",
    "exchanged_names",
    "secrets",
    "stale",
    "dedupe_killed",
    "dedupe_writers",
    "dedupe_writers_everywhere",
)
TABLE = Table(
    Path(__file__).parent / "RESULTS.md",
    "# Faults\n\nWritten by `make faults`.",
    ("sweep", "what", "done", "found", "lost, left over or reached"),
    SWEEPS,
)


def main() -> int:
    """Return 0 when nothing was lost anywhere."""
    os.umask(0o022)
    rows: dict[str, list[str]] = {}
    lost = 0
    for name in sys.argv[1:] or SWEEPS:
        print(f"… {name}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="govma-faults-") as folder:
            result = importlib.import_module(f"tests.faults.{name}").sweep(Path(folder))
        rows[name] = [line([name, result.what, result.done, result.found, str(result.lost)])]
        lost += result.lost + (result.tried == 0)
        TABLE.write(rows)
    print("\n".join([*TABLE.head, *(row for each in rows.values() for row in each)]), flush=True)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
