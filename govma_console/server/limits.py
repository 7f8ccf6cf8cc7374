"""How much one caller, and all of them together, may ask for."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from govma_console.server.callers import Peer

_CALLERS = 4096


class RateLimit:
    """A bucket of requests for each caller, refilled through the minute; of callers, the latest are remembered."""

    def __init__(self, per_minute: int) -> None:
        self._most = float(per_minute)
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, caller: str) -> float:
        """Take a request of a caller; give 0 when it may be answered, else the seconds until one may."""
        now = time.monotonic()
        left, then = self._left.pop(caller, (self._most, now))
        left = min(self._most, left + (now - then) * self._most / 60)
        allowed = left >= 1
        self._left[caller] = (left - 1 if allowed else left, now)
        if len(self._left) > _CALLERS:
            self._left.popitem(last=False)
        return 0.0 if allowed else (1 - left) * 60 / self._most


class Slots:
    """A number of places for what goes on at the same time; one who is not root gets half of them at most."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0
        self._by: Counter[str] = Counter()

    def free(self, peer: Peer) -> bool:
        """Tell whether there is a place for this caller."""
        return self.taken < self.most and (peer.superuser or self._by[peer.key] < (self.most + 1) // 2)

    @contextmanager
    def one(self, peer: Peer) -> Iterator[None]:
        """Take a place for the block."""
        self.taken += 1
        self._by[peer.key] += 1
        try:
            yield
        finally:
            self.taken -= 1
            self._by[peer.key] -= 1
            # Addresses of other machines would add up.
            self._by += Counter()
