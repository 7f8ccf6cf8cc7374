"""Times as people read them."""

from __future__ import annotations

import time
from datetime import datetime, timedelta


def local_time(at: float) -> str:
    """Give seconds since the epoch as local date and time; '' for 0."""
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S") if at else ""


def age(at: float) -> str:
    """Give how long ago that was, in words; '' for 0."""
    import humanize

    return f"{humanize.naturaldelta(timedelta(seconds=max(0.0, time.time() - at)))} ago" if at else ""


def seconds(value: float) -> str:
    """Give a duration: `0.4 s`, `12 s`, `3 min 05 s`."""
    if value < 10:
        return f"{value:.1f} s"
    if value < 60:
        return f"{value:.0f} s"
    return f"{int(value) // 60} min {int(value) % 60:02d} s"
