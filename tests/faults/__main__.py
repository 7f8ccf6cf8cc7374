"""Run the sweeps, print their table, and write it to RESULTS.md; names as arguments run only those."""

from __future__ import annotations

import importlib
import os
import platform
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

SWEEPS = ("dedupe_killed", "dedupe_writers", "dedupe_writers_everywhere")
RESULTS = Path(__file__).parent / "RESULTS.md"


def main() -> int:
    """Give 0 when nothing was lost anywhere."""
    os.umask(0o022)
    lines = ["| sweep | done | found | lost |", "| --- | --- | --- | --- |"]
    lost = 0
    for name in sys.argv[1:] or SWEEPS:
        print(f"… {name}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="govma-faults-") as folder:
            result = importlib.import_module(f"tests.faults.{name}").sweep(Path(folder))
        lines.append(f"| {result.what} | {result.done} | {result.found} | {result.lost} |")
        lost += result.lost
    table = "\n".join(lines) + "\n"
    print(table)
    if not sys.argv[1:]:
        machine = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
        RESULTS.write_text(
            f"# Faults\n\nWritten by `make faults`.\n\n{table}\n{datetime.now(UTC):%Y-%m-%d}, {machine}.\n"
        )
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
