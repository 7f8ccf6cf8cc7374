"""Names of versions: `data-build--YYYY-MM-DD-HHhMMmSSs`, local time of the start of the run that made them."""

from __future__ import annotations

import re
from datetime import datetime
from math import inf

PREFIX = "data-build--"
POINTER = "current-version"
LINK_PREFIX = "govma-link"
INCOMING_PREFIX = "govma-incoming"
STAGING_PREFIX = "govma-staging"
REMOVED_PREFIX = "govma-removed"
"""Hidden names of ours beside the versions are `.<prefix>-<16 hex>`: a link about to be the pointer, a version being
copied, links and copies about to be renamed into a version, a version being removed."""

OURS = re.compile(rf"\.({LINK_PREFIX}|{INCOMING_PREFIX}|{STAGING_PREFIX}|{REMOVED_PREFIX})-[0-9a-f]{{16}}")

# Not strptime: importing it costs as much as reading a hundred versions, and it takes names that are not quite so.
_NAME = re.compile(PREFIX + r"([0-9]{4})-([0-9]{2})-([0-9]{2})-([0-9]{2})h([0-9]{2})m([0-9]{2})s")
_FORMAT = PREFIX + "%Y-%m-%d-%Hh%Mm%Ss"


def version_name(started: datetime) -> str:
    """Return the name of a version whose run started at this local time."""
    return started.strftime(_FORMAT)


def version_time(name: str) -> datetime | None:
    """Return the local time that the name tells (naive), None when it is no version's name."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    year, month, day, hour, minute, second = map(int, match.groups())
    try:
        return datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - local time, as the name tells it
    except ValueError:
        return None


def local_epoch(local: datetime | None) -> float:
    """Return a local time in seconds since the epoch; of two possible ones the later."""
    if local is None:
        return 0.0
    try:
        return local.replace(fold=1).timestamp()
    except (ValueError, OverflowError):
        return inf if local.year > datetime.now().astimezone().year else 0.0
