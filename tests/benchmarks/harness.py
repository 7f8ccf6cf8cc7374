"""What every benchmark shares: rows with a goal, medians, and the command as a user starts it."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

COLUMNS = ("benchmark", "measured", "ours", "peer", "value", "goal", "met")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: what was measured, ours and the peer's figure, the value that has a goal, the goal.

    The value must not exceed the goal; with `at_least` it must reach it.
    """

    what: str
    ours: str
    peer: str
    value: float
    goal: float
    unit: str = ""
    at_least: bool = False

    @property
    def met(self) -> bool:
        return self.value >= self.goal if self.at_least else self.value <= self.goal

    def cells(self) -> list[str]:
        return [
            self.what,
            self.ours,
            self.peer,
            f"{self.value:.3g}{self.unit}",
            f"{'≥' if self.at_least else '≤'} {self.goal:g}{self.unit}",
            "yes" if self.met else "NO",
        ]


def median(times: int, work: Callable[[], object], before: Callable[[], object] = lambda: None) -> float:
    """Return the median seconds of `times` executions; `before` is not counted."""
    taken = []
    for _ in range(times):
        before()
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def console(config: Path, *arguments: str) -> list[str]:
    """Return the command line of govma-console as it is installed beside this Python."""
    return [str(Path(sys.executable).parent / "govma-console"), "--config", str(config), *arguments]


def run(command: Sequence[str], cwd: Path | None = None) -> str:
    """Run a command that must succeed, and give its standard output."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} exited with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout
