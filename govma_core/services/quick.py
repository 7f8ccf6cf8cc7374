"""Plain compose files read without compose, which takes longer to start than all else takes to look at.

Only what is understood beyond doubt is read: one file, keys and forms that are listed here, variables that `.env` sets
without quotes, escapes or comments. Everything else gives None, and compose is asked.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from govma_core.services.compose import Project, load_yaml

_TOP = {"version", "services", "networks", "volumes"}
_KEYS = {
    "build", "image", "ports", "environment", "env_file", "volumes", "networks", "command", "restart", "depends_on",
    "healthcheck", "container_name",
}  # fmt: skip
_PLAIN = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)=(?P<value>[^\s'\"\\$#]*)")
_VARIABLE = re.compile(r"\$(?:(?P<escaped>\$)|\{(?P<braced>[A-Za-z_][A-Za-z0-9_]*)\}|(?P<other>))")
_PORT = re.compile(r"(?:(?:\d{1,3}(?:\.\d{1,3}){3}):)?(?:\d{1,5}:)?\d{1,5}(?:/(?:tcp|udp))?")
_RESTART = {"no", "always", "on-failure", "unless-stopped"}


class _Unsure(Exception):
    """Compose has to be asked."""


def read_quickly(project: Project) -> dict[str, Any] | None:
    """Return what `config` of compose would print, as far as it is looked at; None where compose has to be asked."""
    if len(project.files) != 1:
        return None
    try:
        variables = _plain_env(project.directory / ".env")
        data = load_yaml(project.files[0].read_bytes())
        _require(isinstance(data, dict) and set(data) <= _TOP and isinstance(data.get("services"), dict))
        _require(str(data.get("version", "3")).startswith("3"))
        data = _filled(data, variables)
        known = {part: _declared(data.get(part)) for part in ("networks", "volumes")}
        found = {name: _service(project.directory, service, known) for name, service in data["services"].items()}
    except (_Unsure, OSError, ValueError, yaml.YAMLError):
        return None
    return {"services": found, **known}


def _require(condition: object) -> None:
    if not condition:
        raise _Unsure


def _plain_env(path: Path) -> dict[str, str]:
    found = {}
    for line in path.read_text("utf-8").splitlines() if path.exists() else ():
        if line.strip() and not line.startswith("#"):
            match = _PLAIN.fullmatch(line)
            _require(match is not None)
            assert match is not None  # noqa: S101 - for the type checker
            found[match["name"]] = match["value"]
    return found


def _filled(value: Any, variables: dict[str, str]) -> Any:  # noqa: ANN401
    """Put variables in; dollars of the result are doubled, as compose prints them."""
    if isinstance(value, dict):
        return {key: _filled(inner, variables) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, variables) for inner in value]

    def put(match: re.Match[str]) -> str:
        if match["escaped"]:
            return "$$"
        # Unset, empty, or in a form with a default: compose has more to say of it.
        _require(variables.get(match["braced"] or ""))
        return variables[match["braced"]]

    return _VARIABLE.sub(put, value) if isinstance(value, str) else value


def _declared(table: Any) -> dict[str, Any]:  # noqa: ANN401
    table = {} if table is None else table
    _require(isinstance(table, dict) and all(value in (None, {}) for value in table.values()))
    return {str(name): {} for name in table}


def _service(directory: Path, raw: Any, known: dict[str, dict[str, Any]]) -> dict[str, Any]:  # noqa: ANN401
    _require(isinstance(raw, dict) and set(raw) <= _KEYS and (raw.get("image") or raw.get("build")))
    service = dict(raw)
    if "build" in raw:
        _require(isinstance(raw["build"], str) and not raw["build"].startswith(("/", "~", "http", "git")))
        _require((directory / raw["build"]).is_dir())
        service["build"] = {"context": str(directory / raw["build"])}
    _require(isinstance(raw.get("image", ""), str) and isinstance(raw.get("container_name", ""), str))
    service["environment"] = _environment(directory, raw)
    volumes = [_volume(directory, entry, known["volumes"]) for entry in _texts(raw, "volumes")]
    service["volumes"] = volumes
    networks = raw.get("networks")
    if networks is not None:
        _require(isinstance(networks, list) and networks and set(networks) <= known["networks"].keys())
    _require(all(isinstance(port, str) and _PORT.fullmatch(port) for port in raw.get("ports") or ()))
    _require(raw.get("restart", "no") in _RESTART)
    _require(isinstance(raw.get("command"), str | None) or _all_texts(raw["command"]))
    _texts(raw, "depends_on")
    _require(isinstance(raw.get("healthcheck", {}), dict))
    return service


def _environment(directory: Path, raw: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    files = raw.get("env_file")
    for name in [files] if isinstance(files, str) else _texts(raw, "env_file"):
        _require((directory / name).is_file())
        found |= _plain_env(directory / name)
    own = raw.get("environment") or {}
    if isinstance(own, list):
        _require(_all_texts(own) and all("=" in entry for entry in own))
        own = dict(entry.split("=", 1) for entry in own)
    _require(isinstance(own, dict))
    for name, value in own.items():
        # Null is the caller's own; how floats and booleans are written is compose's business.
        _require(type(value) in (str, int))
        found[str(name)] = str(value)
    return found


def _volume(directory: Path, entry: str, declared: dict[str, Any]) -> str:
    source, *rest = entry.split(":")
    _require(len(rest) in (1, 2) and rest[0].startswith("/") and (len(rest) == 1 or rest[1] in ("ro", "rw")))
    if source.startswith("."):
        _require(".." not in source)
        source = str(directory / source)
    _require(source.startswith("/") or source in declared)
    return ":".join([source, *rest])


def _texts(raw: dict[str, Any], key: str) -> list[str]:
    found = raw.get(key) or []
    _require(_all_texts(found))
    return list(found)


def _all_texts(found: Any) -> bool:  # noqa: ANN401
    return isinstance(found, list) and all(isinstance(entry, str) for entry in found)
