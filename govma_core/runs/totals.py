"""How many runs ended and how often each stage went well, since the state directory was made: `totals.json`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from govma_core.fs import jsonfile


class Totals:
    """The counters of one state directory; stages are collected here and written with the run."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "totals.json"
        self._stages: list[tuple[str, str, float]] = []

    def add_stage(self, operation: str, stage: str, seconds: float) -> None:
        """Take down a stage that went well."""
        self._stages.append((operation, stage, seconds))

    def add_run(self, operation: str, result: str) -> None:
        """Count a run that ended, with its stages; OSError when that cannot be written."""
        # Runs that were refused for another one's sake end without the lock of runs: the file has its own.
        with jsonfile.locked(self._path.with_suffix(".lock")):
            runs, stages = self.runs(), self.stages()
            runs[operation, result] = runs.get((operation, result), 0) + 1
            for owner, stage, seconds in self._stages:
                count, total = stages.get((owner, stage), (0, 0.0))
                stages[owner, stage] = count + 1, round(total + seconds, 3)
            self._stages.clear()
            jsonfile.replace(
                self._path,
                {
                    "runs": [[*key, count] for key, count in runs.items()],
                    "stages": [[*key, *values] for key, values in stages.items()],
                },
                durable=False,
            )

    def runs(self) -> dict[tuple[str, str], int]:
        """Return how many runs ended, by operation and result."""
        return {(str(row[0]), str(row[1])): int(row[2]) for row in self._rows("runs", 3)}

    def stages(self) -> dict[tuple[str, str], tuple[int, float]]:
        """Return how often each stage went well and how many seconds that took in all, by operation and stage."""
        return {(str(row[0]), str(row[1])): (int(row[2]), float(row[3])) for row in self._rows("stages", 4)}

    def _rows(self, name: str, width: int) -> list[list[Any]]:
        data: Mapping[str, Any] = jsonfile.read(self._path) or {}
        rows = data.get(name)
        return [row for row in rows if isinstance(row, list) and len(row) == width] if isinstance(rows, list) else []
