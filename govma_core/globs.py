"""Globs over relative paths: `*` and `?` within a name, `**` for any number of directories."""

from __future__ import annotations

import re
from collections.abc import Sequence


def globs(patterns: Sequence[str]) -> re.Pattern[str]:
    """Give one expression whose fullmatch() tells whether a relative path fits one of the patterns.

    ValueError for a pattern that no relative path can fit.
    """
    for pattern in patterns:
        if not pattern or pattern.startswith("/") or ".." in pattern.split("/") or "\0" in pattern:
            raise ValueError(f"{pattern!r} is not a glob over relative paths, such as system/user/cache/**")
    return re.compile("|".join(_expression(pattern) for pattern in patterns) or r"(?!)", re.DOTALL)


def _expression(pattern: str) -> str:
    parts = pattern.split("/")
    last = len(parts) - 1
    found = ""
    for number, part in enumerate(parts):
        if part == "**":
            found += ".+" if number == last else "(?:[^/]+/)*"
        else:
            found += _name(part) + ("/" if number != last else "")
    return f"(?:{found})"


def _name(part: str) -> str:
    return "".join({"*": "[^/]*", "?": "[^/]"}.get(character, re.escape(character)) for character in part)
