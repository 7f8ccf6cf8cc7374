"""Run the benchmarks, and write their table to RESULTS.md; with names as arguments only those, and their rows."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.harness import COLUMNS, Row
from tests.benchmarks.peers import versions
from tests.support.results import Table, line

BENCHMARKS = (
    "startup",
    "promotion",
    "file_work",
    "history",
    "memory",
    "disk_dedupe",
    "disk_usage",
    "activation",
    "server",
    "console",
    "services",
)
TABLE = Table(
    Path(__file__).parent / "RESULTS.md",
    "# Benchmarks\n\nWritten by `make bench`. Ratios are of one run on one machine, medians, ours ÷ peer.",
    COLUMNS,
    BENCHMARKS,
)


def main() -> int:
    """Return 0 when every goal is met."""
    os.umask(0o022)
    rows: dict[str, list[str]] = {}
    met = True
    for name in sys.argv[1:] or BENCHMARKS:
        print(f"… {name}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="govma-bench-") as folder:
            # A build runs as another user, and must get there.
            Path(folder).chmod(0o755)
            found: list[Row] = importlib.import_module(f"tests.benchmarks.{name}").measure(Path(folder))
        rows[name] = [line([name, *row.cells()]) for row in found]
        met = met and all(row.met for row in found)
        TABLE.write(rows, f"; {versions()}")
    print("\n".join([*TABLE.head, *(row for each in rows.values() for row in each)]), flush=True)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
