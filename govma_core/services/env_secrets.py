"""The values of `.env` and of env files: read by every rule there is, and masked by the names of their variables."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
from collections.abc import Collection, Mapping
from pathlib import Path
from urllib.parse import quote

from govma_core.masking import Mask
from govma_core.text.secret_names import SECRET

_SHORTEST = 4
"""Characters: shorter values (a port's `80`, `on`) occur everywhere, and are no secret."""

_LONG = 8
"""From here on a value is taken out inside words, too; a shorter one where its name speaks of a secret."""

_WORDS = frozenset(("true", "false", "none", "null", "localhost", "0.0.0.0", "127.0.0.1"))  # noqa: S104 - no address
_KEY = os.urandom(16)


def fingerprint(value: str) -> bytes:
    """Return a keyed hash, by which values are compared within this process; it does not reveal the value."""
    return hashlib.blake2b(value.encode("utf-8", "surrogateescape"), key=_KEY, digest_size=16).digest()


def named_mask(values: Mapping[str, Collection[str]], harmless: Collection[str] = ()) -> Mask:
    """Return the mask that replaces values, by their names, by `${NAME}`.

    Left alone are those in `harmless` (names of services, of networks), and, unless nothing else stands beside them,
    those shorter than four characters and words such as `true`.
    """
    labels: dict[str, str] = {}
    whole: dict[str, str] = {}
    alone: set[str] = set()
    for name, readings in values.items():
        for value in (each for each in readings if each and each not in harmless):
            whole.setdefault(value, f"${{{name}}}")
            if len(value) < _SHORTEST or value.lower() in _WORDS:
                continue
            for form in _forms(value) - labels.keys():
                labels[form] = f"${{{name}}}"
                if len(form) < _LONG and not SECRET.search(name):
                    alone.add(form)
    return Mask(labels=labels, alone=alone, whole=whole)


def _forms(value: str) -> set[str]:
    """Return the ways in which programs write a value: as it is, quoted, escaped."""
    escaped = {repr(value)[1:-1], json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    return {value, value.replace("$", "$$"), shlex.quote(value), quote(value, safe=""), *escaped}


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
    readings: dict[str, set[str]] = {}
    name, quote_mark, whole_value = "", "", ""
    for line in text.splitlines():
        if quote_mark:
            whole_value += f"\n{line}"
            readings[name].update(_readings(line))
            if line.rstrip().endswith(quote_mark):
                readings[name].update(_readings(whole_value))
                quote_mark = ""
            continue
        match = None if line.lstrip().startswith("#") else _LINE.match(line)
        if match is None:
            continue
        name, rest = match["name"], (match["rest"] or "").strip()
        readings.setdefault(name, set()).update(_readings(rest))
        if rest[:1] in ("'", '"') and rest.find(rest[0], 1) < 0:
            quote_mark, whole_value = rest[0], rest
    return {name: values - {""} for name, values in readings.items()}


def set_value(readings: Mapping[str, set[str]], name: str) -> str:
    """Return the value of one name as compose reads it, '' when it is not set; `readings` are those of read_env()."""
    plain = [value for value in readings.get(name, ()) if not set(value) & set("'\"")]
    return min(plain, key=len, default="")


def _readings(rest: str) -> set[str]:
    text = rest.strip()
    readings = {text, re.split(r"\s+#", text, maxsplit=1)[0].strip()}
    for value in tuple(readings):
        bare = value
        if value[:1] in ("'", '"'):
            end = value.find(value[0], 1)
            bare = value[1:end] if end > 0 else value[1:]
            readings.add(bare)
        elif value[-1:] in ("'", '"'):
            readings.add(value[:-1])
        readings.add(re.sub(r"\\[nt\"'\\$]", lambda match: _ESCAPES[match.group()], bare))
        readings.add(bare.replace("$$", "$"))
    return readings
