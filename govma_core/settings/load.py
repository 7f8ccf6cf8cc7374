"""Where the values of the settings come from, and which of them win."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from govma_core.errors import ConfigurationError
from govma_core.language import tr
from govma_core.places import CONFIG_VARIABLE, DEFAULT_FILE
from govma_core.settings.checks import check_together
from govma_core.settings.keys import KEYS
from govma_core.settings.model import Settings
from govma_core.settings.values import read_value


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """The effective settings, and for each key where its value came from, in words."""

    settings: Settings
    origins: Mapping[str, str]


def load(
    environment: Mapping[str, str] | None = None,
    *,
    file: Path | None = None,
    flags: Mapping[str, Any] | None = None,
) -> LoadedSettings:
    """Read defaults, then the TOML file, then the environment, then flags (plain values by key).

    The file is `file`, else the one GOVMA_CONFIG names (both must exist), else /etc/govma-console.toml if it is there.
    Raises ConfigurationError with every problem found, a line each.
    """
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    origins = dict.fromkeys(KEYS, "default")
    problems: list[str] = []

    def put(name: str, origin: str, raw: object) -> None:
        try:
            values[name] = read_value(KEYS[name], raw)
            origins[name] = origin
        except ValueError as error:
            problems.append(f"{KEYS[name].written} ({origin}): {error}.")

    chosen = _chosen_file(environment, file)
    if chosen is not None:
        for name, raw in _read_file(chosen, problems).items():
            put(name, str(chosen), raw)
    for name, key in KEYS.items():
        if key.env and key.env in environment:
            put(name, f"${key.env}", environment[key.env])
    for name, value in (flags or {}).items():
        put(name, tr("command line"), value)

    if not problems:
        settings = Settings(**values)
        problems = check_together(settings)
        if not problems:
            return LoadedSettings(settings, origins)
    raise ConfigurationError("\n".join(problems))


def _chosen_file(environment: Mapping[str, str], file: Path | None) -> Path | None:
    if file is not None:
        return file
    if environment.get(CONFIG_VARIABLE):
        return Path(environment[CONFIG_VARIABLE])
    return DEFAULT_FILE if DEFAULT_FILE.exists() else None


def _read_file(path: Path, problems: list[str]) -> dict[str, Any]:
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        problems.append(tr("The settings file {path} cannot be read: {strerror}.", path=path, strerror=error.strerror))
        return {}
    except ValueError as error:
        problems.append(tr("The settings file {path} is not valid TOML: {error}.", path=path, error=error))
        return {}
    names = {key.written: name for name, key in KEYS.items()}
    tables = {key.table for key in KEYS.values()}
    found = dict(_flat(data, tables))
    for written in found.keys() - names.keys():
        # Who wrote a table that is none meant one.
        meant = [f"[{table}]" for table in tables if table] if isinstance(found[written], dict) else names
        near = difflib.get_close_matches(written, meant, n=1, cutoff=0.6)
        hint = (
            tr(" Did you mean {near}?", near=near[0]) if near else tr(" `govma-console config` lists those there are.")
        )
        problems.append(tr("{path}: there is no setting {written!r}.{hint}", path=path, written=written, hint=hint))
    return {names[written]: raw for written, raw in found.items() if written in names}


def _flat(data: Mapping[str, Any], tables: Collection[str]) -> Iterator[tuple[str, Any]]:
    """Yield the values by the names they are written with, those in one of our tables as `table.name`."""
    for name, value in data.items():
        if name in tables and isinstance(value, dict):
            yield from ((f"{name}.{inner}", raw) for inner, raw in value.items())
        else:
            yield name, value
