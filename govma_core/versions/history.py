"""Which version was live when: one line a promotion in `<state_dir>/history.jsonl`, and what follows from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from govma_core import jsonfile

How = Literal["deploy", "promote", "rollback", "revert"]


@dataclass(frozen=True, slots=True)
class Promotion:
    """One switch of the link: when (epoch seconds), to what, from what ('' for nothing), how, by whom, in which run."""

    at: float
    version: str
    previous: str
    how: str
    by: str
    run: str


class History:
    """The promotions in order, oldest first."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "history.jsonl"

    def append(self, promotion: Promotion) -> None:
        """Add a promotion; on the disk when this returns."""
        jsonfile.append(self._path, dataclasses.asdict(promotion))

    def read(self) -> list[Promotion]:
        """Give all promotions; damaged lines are passed over."""
        names = [field.name for field in dataclasses.fields(Promotion)]
        return [
            Promotion(**{name: line[name] for name in names})
            for line in jsonfile.lines(self._path)
            if all(name in line for name in names)
        ]


def live_before(promotions: Iterable[Promotion], current: str | None) -> list[str]:
    """Give the versions that were live before the current one, the latest first: where rollbacks lead, in turn.

    A rollback takes back what it left, so a second rollback goes further back and never returns to what the first one
    left. A link that somebody switched by hand counts as one more promotion.
    """
    trail: list[str] = []
    for promotion in promotions:
        _put_on(trail, promotion.previous)
        if promotion.how == "rollback" and promotion.version in trail:
            del trail[trail.index(promotion.version) :]
        _put_on(trail, promotion.version)
    _put_on(trail, current or "")
    return [name for name in reversed(trail) if name != current]


def _put_on(trail: list[str], name: str) -> None:
    """Make the name the end of the trail, and have it there once only."""
    if name and trail[-1:] != [name]:
        if name in trail:
            trail.remove(name)
        trail.append(name)
