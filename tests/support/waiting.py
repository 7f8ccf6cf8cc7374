"""Waiting for a condition, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
PATIENCE = 60.0
"""Seconds for what takes an idle machine a moment: a loaded one gets there, and a test that fails has time to say so.

Longer waits are for what is long by itself: a deploy, a crowd of callers, an image.
"""


def wait_for(condition: Callable[[], T | None], what: str, patience: float = PATIENCE) -> T:
    """Call until the answer is true, and give it; AssertionError names what did not come."""
    deadline = time.monotonic() + patience
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"waited {patience} s in vain for {what}"
        time.sleep(0.01)
