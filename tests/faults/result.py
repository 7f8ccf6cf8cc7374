"""What a sweep came to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Result:
    """What was swept, how often, what was seen on the way, and how much was lost: 0 is the only good number."""

    what: str
    done: str
    found: str
    lost: int
    tried: int
    """How often something was really done to it: a sweep in which nothing happened says nothing."""
