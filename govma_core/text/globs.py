"""Globs over relative paths: `*` and `?` within a name, `**` for any number of directories."""

from __future__ import annotations

import re
from collections.abc import Sequence

from govma_core.text.language import tr

_ENDLESS = 1 << 30


def globs(patterns: Sequence[str]) -> re.Pattern[str]:
    """Return one expression whose fullmatch() tells whether a relative path fits one of the patterns.

    ValueError for a pattern that no relative path can fit.
    """
    for pattern in patterns:
        if not pattern or pattern.startswith("/") or ".." in pattern.split("/") or "\0" in pattern:
            raise ValueError(
                tr("{pattern!r} is not a glob over relative paths, such as system/user/cache/**", pattern=pattern)
            )
    return re.compile("|".join(_expression(pattern) for pattern in patterns) or r"(?!)", re.DOTALL)


def _expression(pattern: str) -> str:
    parts = pattern.split("/")
    last = len(parts) - 1
    regex = ""
    for number, part in enumerate(parts):
        if part == "**":
            regex += ".+" if number == last else "(?:[^/]+/)*"
        else:
            regex += _name(part) + ("/" if number != last else "")
    return f"(?:{regex})"


def _name(part: str) -> str:
    return "".join({"*": "[^/]*", "?": "[^/]"}.get(character, re.escape(character)) for character in part)


def starts(patterns: Sequence[str]) -> dict[str, int]:
    """Return the directories in which files that fit can lie, each with how many levels below it (1: in it only).

    A walk over these finds all that fits without going through the rest of the tree.
    """
    depths: dict[str, int] = {}
    for pattern in patterns:
        parts = pattern.split("/")
        literal = 0
        while literal < len(parts) - 1 and not set(parts[literal]) & set("*?"):
            literal += 1
        levels = _ENDLESS if "**" in parts[literal:] else len(parts) - literal
        top = "/".join(parts[:literal])
        depths[top] = max(levels, depths.get(top, 0))
    return depths
