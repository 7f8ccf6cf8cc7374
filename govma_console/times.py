"""Times as people read them."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from functools import cache
from types import ModuleType

from govma_core.language import SOURCE, date_format, decimal, language, tr


def local_time(at: float) -> str:
    """Return seconds since the epoch as local date and time; '' for 0."""
    return datetime.fromtimestamp(at).astimezone().strftime(f"{date_format()} %H:%M:%S") if at else ""


def age(at: float) -> str:
    """Return how long ago that was, in words; '' for 0."""
    if not at:
        return ""
    passed = timedelta(seconds=max(0.0, time.time() - at))
    return tr("{time} ago", time=_humanize().naturaldelta(passed))


@cache
def _humanize() -> ModuleType:
    """Return humanize, which is slow to import, in the language in use."""
    import humanize

    if language() != SOURCE:
        humanize.i18n.activate(language())
    return humanize


def seconds(value: float) -> str:
    """Return a duration: `0.4 s`, `12 s`, `3 min 05 s`."""
    if value < 10:
        return decimal(f"{value:.1f} s")
    if value < 60:
        return f"{value:.0f} s"
    return f"{int(value) // 60} min {int(value) % 60:02d} s"
