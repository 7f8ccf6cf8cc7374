"""What a pass over the versions came to: files shared, bytes freed, and what was left alone and why."""

from __future__ import annotations

import os
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
    "without a lease",
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
    """Counters of one pass. `seen` counts names of files; bytes are those on the disk (st_blocks).

    `partly` are inodes of which only some names were removed, by device and number: names removed, links that were
    seen, bytes. Where several processes removed the rest each, the sum of them tells that the inode is gone.
    """

    seen: int = 0
    linked: int = 0
    freed: int = 0
    left: dict[str, Left] = field(default_factory=dict)
    partly: dict[tuple[int, int], tuple[int, int, int]] = field(default_factory=dict)

    def removed(self, info: os.stat_result, names: int) -> None:
        """Count the names of an inode that are being removed; `info` is from before."""
        size = info.st_blocks * 512
        if names >= info.st_nlink:
            self.freed += size
        elif names:
            self._remove_partly((info.st_dev, info.st_ino), names, info.st_nlink, size)

    def _remove_partly(self, inode: tuple[int, int], names: int, links: int, size: int) -> None:
        before, seen, _ = self.partly.get(inode, (0, 0, 0))
        names, links = before + names, max(seen, links)
        if names >= links:
            del self.partly[inode]
            self.freed += size
        else:
            self.partly[inode] = names, links, size

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
        for inode, (names, links, size) in other.partly.items():
            self._remove_partly(inode, names, links, size)

    def plain(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        left = {reason: {"count": found.count, "names": found.names} for reason, found in self.left.items()}
        return {"seen": self.seen, "linked": self.linked, "freed": self.freed, "left": left}

    def whole(self) -> dict[str, Any]:
        """Return it with what another tally needs to know when it is added there."""
        return self.plain() | {"partly": [[*inode, *rest] for inode, rest in self.partly.items()]}


def from_plain(plain: Mapping[str, Any]) -> Tally:
    """Return the tally that plain() took apart."""
    left = {reason: Left(found["count"], found["names"]) for reason, found in plain["left"].items()}
    partly = {(device, number): (names, links, size) for device, number, names, links, size in plain.get("partly", ())}
    return Tally(plain["seen"], plain["linked"], plain["freed"], left, partly)
