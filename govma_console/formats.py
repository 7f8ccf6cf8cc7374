"""Times as people read them."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from functools import cache
from types import ModuleType

from govma_core.text.language import SOURCE, date_format, decimal, language, tr
from govma_core.versions.store import PREFIX


def local_time(at: float) -> str:
    """Return seconds since the epoch as local date and time; '' for 0."""
    return moment(at, seconds=True)


def ago_in_words(at: float) -> str:
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


_UNITS = ("B", "K", "M", "G", "T")


def size(count: int | None) -> str:
    """Return bytes in at most five characters (`812 B`, `59.8M`); '' when not known."""
    if count is None:
        return ""
    value = float(count)
    for unit in _UNITS:
        if value < 999.5 or unit == "T":
            break
        value /= 1000
    if unit == "B":
        return f"{count} B"
    return decimal(f"{value:.1f}{unit}") if value < 99.95 else f"{value:.0f}{unit}"


def age(at: float, now: float | None = None) -> str:
    """Return how long ago that was in at most four characters (`now`, `5m`, `3h`, `12d`, `8w`, `2y`); '' for 0."""
    if not at:
        return ""
    passed = max(0.0, (time.time() if now is None else now) - at)
    for unit, length, most in (("m", 60, 60), ("h", 3600, 48), ("d", 86400, 60), ("w", 7 * 86400, 104)):
        if passed < 60:
            return tr("now")
        if passed < length * most:
            return f"{int(passed // length)}{tr(unit)}"
    return f"{int(passed // (365.25 * 86400))}{tr('y')}"


def ago(at: float, now: float | None = None) -> str:
    """Return the age with the word that belongs to it: `5m ago`, `now`."""
    short = age(at, now)
    return short if short in ("", tr("now")) else tr("{short} ago", short=short)


def moment(at: float, *, seconds: bool = False, year: bool = True) -> str:
    """Return local date and time, to the minute or to the second, with or without the year; '' for 0."""
    day = date_format() if year else date_format().replace("%Y", "").strip("-/")
    pattern = f"{day} %H:%M:%S" if seconds else f"{day} %H:%M"
    try:
        return datetime.fromtimestamp(at).astimezone().strftime(pattern) if at else ""
    except (ValueError, OverflowError, OSError, TypeError):
        # A damaged record, or a name that tells a year nobody will see.
        return "?"


def clock(at: float) -> str:
    """Return the local time of day to the second."""
    return datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S")


def duration(value: float) -> str:
    """Return seconds: `0.4s`, `12s`, `3m05s`, `1h02m`."""
    if value < 9.95:
        return decimal(f"{max(0.0, value):.1f}s")
    whole = round(value)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def whole_seconds(value: float) -> str:
    """Return seconds that still pass, without tenths: `0s`, `12s`, `3m05s`."""
    whole = int(max(0.0, value))
    return f"{whole}s" if whole < 10 else duration(whole)


def short_name(version: str) -> str:
    """Return a version's name without what all names begin with."""
    return version.removeprefix(PREFIX)
