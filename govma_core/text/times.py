"""Ages and moments as people write them in settings and flags: `45s`, `12h`, `2w`; `18:30`, `2027-01-31`."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from govma_core.text.language import tr

_AGE = re.compile(r"([0-9]{1,9})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def age_seconds(text: str) -> int:
    """Return an age in seconds; ValueError says what it must look like."""
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise ValueError(tr("{text_!r} is not an age such as 12h, 30d or 2w", text_=text))
    return int(match[1]) * _SECONDS[match[2]]


_DAY = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2})?)?", re.ASCII)
_CLOCK = re.compile(r"\d{2}:\d{2}(:\d{2})?", re.ASCII)
_LATEST = 10 * 366 * 86400


def moment_to_come(text: str, now: float) -> float:
    """Return the moment (epoch seconds) of a local time: a day's is its beginning, a time of day the next one of it.

    ValueError says what it must look like, or that it has passed.
    """
    moment = text.strip()
    try:
        if _DAY.fullmatch(moment):
            at = datetime.fromisoformat(moment).timestamp()
        elif _CLOCK.fullmatch(moment):
            at = _next(moment, now)
        else:
            at = now + age_seconds(moment)
    except (ValueError, OverflowError):
        raise ValueError(
            tr(
                "{text_!r} is not a time such as 2026-11-24T08:00, 2026-11-24, 18:30 or, from now, 2h or 3d",
                text_=text,
            )
        ) from None
    if at <= now:
        raise ValueError(tr("{text_!r} has passed; give a time in the future", text_=text))
    if at > now + _LATEST:
        raise ValueError(
            tr("{text_!r} is more than ten years away; leave it out, or name an earlier moment", text_=text)
        )
    return at


def _next(clock: str, now: float) -> float:
    today = datetime.fromtimestamp(now)  # noqa: DTZ006 - local time, as the clock on the wall tells it
    hour, minute, *second = map(int, clock.split(":"))
    at = today.replace(hour=hour, minute=minute, second=second[0] if second else 0, microsecond=0, fold=0)
    # By the calendar, not by 86,400 s: the night in which the clock is changed has another length.
    return (at if at.timestamp() > now else at + timedelta(days=1)).timestamp()
