"""Run the benchmarks, print their table, and write it to RESULTS.md; names as arguments run only those."""

from __future__ import annotations

import importlib
import os
import platform
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks.harness import Row, markdown

BENCHMARKS = (
    "startup",
    "promotion",
    "file_work",
    "asset_cache",
    "memory",
    "disk_dedupe",
    "disk_usage",
    "activation",
    "console",
    "server",
    "services",
)
RESULTS = Path(__file__).parent / "RESULTS.md"


def main() -> int:
    """Give 0 when every goal is met."""
    os.umask(0o022)
    chosen = sys.argv[1:] or BENCHMARKS
    rows: list[Row] = []
    for name in chosen:
        print(f"… {name}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="govma-bench-") as folder:
            # A build runs as another user, and must get there.
            Path(folder).chmod(0o755)
            rows += importlib.import_module(f"tests.benchmarks.{name}").measure(Path(folder))
    table = markdown(rows)
    print(table)
    if not sys.argv[1:]:
        machine = (
            f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}"
        )
        RESULTS.write_text(
            "# Benchmarks\n\nWritten by `make bench`. Ratios are of one run on one machine, medians, ours ÷ peer.\n\n"
            f"{table}\n{datetime.now(UTC):%Y-%m-%d}, {machine}.\n"
        )
    return 0 if all(row.met for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
