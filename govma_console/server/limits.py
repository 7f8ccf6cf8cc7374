"""Limits on what one caller may ask for: requests a minute, and streams at the same time."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from govma_console.server.peer import Peer

_CALLERS = 4096


class RateLimit:
    """A bucket of requests for each caller, refilled through the minute; of callers, the latest are remembered."""

    def __init__(self, per_minute: int) -> None:
        self._size = float(per_minute)
        self._buckets: OrderedDict[str, tuple[float, float, bool]] = OrderedDict()

    def take(self, caller: str) -> tuple[float, bool]:
        """Take a request out of a caller's bucket: (0, False), or the seconds until there is one to take.

        Beside these, whether the caller's request before was one too many, too.
        """
        now = time.monotonic()
        level, then, was_empty = self._buckets.pop(caller, (self._size, now, False))
        level = min(self._size, level + (now - then) * self._size / 60)
        has_request = level >= 1
        self._buckets[caller] = (level - 1 if has_request else level, now, not has_request)
        if len(self._buckets) > _CALLERS:
            self._buckets.popitem(last=False)
        return (0.0, False) if has_request else ((1 - level) * 60 / self._size, was_empty)


class Slots:
    """A number of places for what goes on at the same time; a caller that is not root gets half of them at most."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.in_use = 0
        self._by_caller: Counter[str] = Counter()

    def has_room(self, peer: Peer) -> bool:
        """Tell whether there is a place for this caller."""
        return self.in_use < self.most and (peer.superuser or self._by_caller[peer.key] < (self.most + 1) // 2)

    @contextmanager
    def occupy(self, peer: Peer) -> Iterator[None]:
        """Take a place for the block."""
        self.in_use += 1
        self._by_caller[peer.key] += 1
        try:
            yield
        finally:
            self.in_use -= 1
            self._by_caller[peer.key] -= 1
            # Addresses of other machines would add up.
            self._by_caller += Counter()
