"""Ages as people write them in settings and flags: `45s`, `30m`, `12h`, `30d`, `2w`."""

from __future__ import annotations

import re

from govma_core.language import tr

_AGE = re.compile(r"([0-9]{1,9})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def age_seconds(text: str) -> int:
    """Return an age in seconds; ValueError says what it must look like."""
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise ValueError(tr("{text_!r} is not an age such as 12h, 30d or 2w", text_=text))
    return int(match[1]) * _SECONDS[match[2]]
