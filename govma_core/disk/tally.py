"""What a pass over the versions came to: files shared, bytes freed, and what was left alone and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Reason = Literal[
    "being written",
    "changed meanwhile",
    "immutable",
    "on another file system",
    "sparse",
    "special",
    "unreadable",
    "too many different contents",
    "without blocks of its own",
]

_NAMED = 20
"""Names that are kept of each reason."""


@dataclass(slots=True)
class Left:
    """Files that were left alone for one reason: how many, and the names of the first."""

    count: int = 0
    names: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Tally:
    """Counters of one pass. `seen` counts names of files; bytes are those on the disk (st_blocks)."""

    seen: int = 0
    linked: int = 0
    freed: int = 0
    left: dict[str, Left] = field(default_factory=dict)

    def leave(self, reason: Reason, name: str) -> None:
        """Count a file that was left alone."""
        found = self.left.setdefault(reason, Left())
        found.count += 1
        if len(found.names) < _NAMED:
            found.names.append(name)

    def add(self, other: Tally) -> None:
        """Add what another pass came to."""
        self.seen += other.seen
        self.linked += other.linked
        self.freed += other.freed
        for reason, left in other.left.items():
            found = self.left.setdefault(reason, Left())
            found.count += left.count
            found.names = (found.names + left.names)[:_NAMED]

    def plain(self) -> dict[str, Any]:
        """Give it as JSON holds it."""
        left = {reason: {"count": found.count, "names": found.names} for reason, found in self.left.items()}
        return {"seen": self.seen, "linked": self.linked, "freed": self.freed, "left": left}


def from_plain(plain: Mapping[str, Any]) -> Tally:
    """Give the tally that plain() took apart."""
    left = {reason: Left(found["count"], found["names"]) for reason, found in plain["left"].items()}
    return Tally(plain["seen"], plain["linked"], plain["freed"], left)
