"""Files such as `.env`: which names they set, and every way in which their values may be read."""

from __future__ import annotations

import re
from pathlib import Path

_LINE = re.compile(r"\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)\s*(?:=(?P<rest>.*))?$", re.DOTALL)
_ESCAPES = {r"\n": "\n", r"\t": "\t", r"\"": '"', r"\'": "'", r"\\": "\\", r"\$": "$"}


def read_env(path: Path) -> dict[str, set[str]]:
    """Return each name with what its value may be, by whichever rules a program reads the file; {} without a file.

    Programs differ in quotes, comments and escapes, and in what a value over several lines is: all readings are
    given, and each line of a value. OSError when the file is there and cannot be read.
    """
    try:
        text = path.read_text("utf-8-sig", "surrogateescape")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    found: dict[str, set[str]] = {}
    name, quote, held = "", "", ""
    for line in text.splitlines():
        if quote:
            held += f"\n{line}"
            found[name].update(_readings(line))
            if line.rstrip().endswith(quote):
                found[name].update(_readings(held))
                quote = ""
            continue
        match = None if line.lstrip().startswith("#") else _LINE.match(line)
        if match is None:
            continue
        name, rest = match["name"], (match["rest"] or "").strip()
        found.setdefault(name, set()).update(_readings(rest))
        if rest[:1] in ("'", '"') and rest.find(rest[0], 1) < 0:
            quote, held = rest[0], rest
    return {name: values - {""} for name, values in found.items()}


def set_value(path: Path, name: str) -> str:
    """Return the value of one name as compose reads it, '' when it is not set."""
    readings = read_env(path).get(name, set())
    plain = [value for value in readings if not set(value) & set("'\"")]
    return min(plain, key=len, default="")


def _readings(rest: str) -> set[str]:
    text = rest.strip()
    found = {text, re.split(r"\s+#", text, maxsplit=1)[0].strip()}
    for value in tuple(found):
        bare = value
        if value[:1] in ("'", '"'):
            end = value.find(value[0], 1)
            bare = value[1:end] if end > 0 else value[1:]
            found.add(bare)
        elif value[-1:] in ("'", '"'):
            found.add(value[:-1])
        found.add(re.sub(r"\\[nt\"'\\$]", lambda match: _ESCAPES[match.group()], bare))
        found.add(bare.replace("$$", "$"))
    return found
