"""The exports of an existing run-deploy.sh, read without running it."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from typing import Any

from govma_core.settings.parse import KEYS, read_value
from govma_core.text.language import tr

_EXPORT = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)")
_DEPLOY_SH = re.compile(r"\s*(?:\.|source|exec|bash|sh)\s+(/[^\s$`]*)/deploy\.sh\s*(?:#.*)?")
_REFERENCE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")


@dataclass(slots=True)
class Exports:
    """Settings found (plain values by key), variables that are none of ours, sentences about lines not understood."""

    settings: dict[str, Any] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def read_exports(script: str) -> Exports:
    """Read `export NAME=value` lines; a value may refer to a variable that was set above it, nothing is executed."""
    by_variable = {key.env: key for key in KEYS.values() if key.env}
    exports = Exports()
    variables: dict[str, str] = {}
    for number, line in enumerate(script.splitlines(), 1):
        sourced = _DEPLOY_SH.fullmatch(line)
        if sourced:
            # The original looks for its tarballs beside itself.
            exports.settings.setdefault("vendor_dir", f"{sourced.group(1)}/vendor")
        match = _EXPORT.fullmatch(line)
        if match is None:
            continue
        name, raw = match.groups()
        try:
            value = _value(raw, variables)
            variables[name] = value
            if name in by_variable:
                key = by_variable[name]
                read_value(key, value)
                exports.settings[key.name] = value
            else:
                exports.others.append(name)
        except ValueError as error:
            # What was set above it is not what the script would have used.
            exports.settings.pop(by_variable[name].name if name in by_variable else "", None)
            exports.problems.append(tr("line {number}, {name}: {error}.", number=number, name=name, error=error))
    return exports


def _value(raw: str, variables: dict[str, str]) -> str:
    if "$(" in raw or "`" in raw:
        raise ValueError(tr("it runs a command, which is not done here; set it by hand"))
    words = shlex.split(raw, comments=True)
    if len(words) > 1:
        raise ValueError(tr("{raw!r} is more than one word", raw=raw))
    text = words[0] if words else ""
    literal = raw.strip().startswith("'")

    def refer(match: re.Match[str]) -> str:
        name = match.group(1) or match.group(2)
        if name not in variables:
            raise ValueError(tr("it refers to ${name}, which is not set above it", name=name))
        return variables[name]

    return text if literal else _REFERENCE.sub(refer, text)
