"""The committed table of sweeps or benchmarks: written after each of them, as the next one may take long, or fail."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Table:
    """A table in a file: the first cell of each row names the part that it belongs to. What stands below it is kept."""

    path: Path
    intro: str
    columns: Sequence[str]
    parts: Sequence[str]

    @property
    def head(self) -> list[str]:
        """Return its two first lines."""
        return [line(self.columns), line(["---"] * len(self.columns))]

    def write(self, rows: dict[str, list[str]], about: str = "") -> None:
        """Write the rows of these parts, and leave those of all others as they are."""
        kept, notes = self._written()
        there = [row for part in self.parts for row in rows.get(part, kept.get(part, []))]
        machine = (
            f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}"
        )
        ending = f"{datetime.now(UTC):%Y-%m-%d}, {machine}{about}."
        self.path.write_text("\n\n".join([self.intro, "\n".join([*self.head, *there]), ending, *notes]) + "\n")

    def _written(self) -> tuple[dict[str, list[str]], list[str]]:
        """Return the rows that are there by their parts, and the paragraphs behind the one that ends the table."""
        text = self.path.read_text() if self.path.exists() else ""
        rows: dict[str, list[str]] = {}
        for row in text.splitlines():
            if row.startswith("|") and row not in self.head:
                rows.setdefault(row.split("|")[1].strip(), []).append(row)
        paragraphs = [part.strip() for part in text.split("\n\n")]
        tables = [number for number, part in enumerate(paragraphs) if part.startswith("|")]
        return rows, paragraphs[tables[-1] + 2 :] if tables else []


def line(cells: Sequence[str]) -> str:
    """Return the cells as a row."""
    return f"| {' | '.join(cells)} |"
