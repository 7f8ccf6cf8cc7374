"""Run the sweeps, print their table, and write it to RESULTS.md; with names as arguments only those, and their rows."""

from __future__ import annotations

import importlib
import os
import platform
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

SWEEPS = (
    "killed",
    "killed_docker",
    "space",
    "clock",
    "together",
    "power",
    "hostile_build",
    "hostile_web",
    "tarballs",
    "races",
    "exchanged_names",
    "secrets",
    "dedupe_killed",
    "dedupe_writers",
    "dedupe_writers_everywhere",
)
RESULTS = Path(__file__).parent / "RESULTS.md"
_HEAD = ["| sweep | what | done | found | lost, left over or reached |", "| --- | --- | --- | --- | --- |"]


def main() -> int:
    """Give 0 when nothing was lost anywhere."""
    os.umask(0o022)
    rows, lost = {}, 0
    for name in sys.argv[1:] or SWEEPS:
        print(f"… {name}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="govma-faults-") as folder:
            result = importlib.import_module(f"tests.faults.{name}").sweep(Path(folder))
        rows[name] = f"| {name} | {result.what} | {result.done} | {result.found} | {result.lost} |"
        lost += result.lost + (result.tried == 0)
        _write(rows)
    print("\n".join([*_HEAD, *rows.values()]), flush=True)
    return 1 if lost else 0


def _write(rows: dict[str, str]) -> None:
    """Write the table, after each sweep: the next one may take long, or fail."""
    machine = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    kept = _written() | rows
    table = "\n".join([*_HEAD, *(kept[name] for name in SWEEPS if name in kept)])
    RESULTS.write_text(
        f"# Faults\n\nWritten by `make faults`.\n\n{table}\n\n{datetime.now(UTC):%Y-%m-%d}, {machine}.\n"
    )


def _written() -> dict[str, str]:
    """Give the rows of the last table, by the names of their sweeps."""
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    return {line.split("|")[1].strip(): line for line in lines if line.startswith("|") and line not in _HEAD}


if __name__ == "__main__":
    sys.exit(main())
