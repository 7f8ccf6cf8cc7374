"""Names of versions: `data-build--YYYY-MM-DD-HHhMMmSSs`, local time of the start of the run that made them."""

from __future__ import annotations

import re
from datetime import datetime

PREFIX = "data-build--"
POINTER = "current-version"
LINK_PREFIX = "govma-link"
INCOMING_PREFIX = "govma-incoming"
"""Hidden names of ours beside the versions are `.<prefix>-<16 hex>`."""

OURS = re.compile(rf"\.({LINK_PREFIX}|{INCOMING_PREFIX})-[0-9a-f]{{16}}")

_FORMAT = PREFIX + "%Y-%m-%d-%Hh%Mm%Ss"


def version_name(started: datetime) -> str:
    """Give the name of a version whose run started at this local time."""
    return started.strftime(_FORMAT)


def version_time(name: str) -> datetime | None:
    """Give the local time that the name tells (naive), None when it is no version's name."""
    try:
        time = datetime.strptime(name, _FORMAT)  # noqa: DTZ007 - the name holds local time without zone
    except ValueError:
        return None
    return time if version_name(time) == name else None
