"""The compose project: where it is, what it is called, and which values in it are nobody's business."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from govma_core.errors import PreflightError
from govma_core.language import tr
from govma_core.services.envfile import read_env, set_value
from govma_core.services.mask import NameMask
from govma_core.services.yamlfile import load_yaml
from govma_core.settings import Settings

FILES = ("docker-compose.yml", "docker-compose.yaml", "compose.yml", "compose.yaml")
_OVERRIDES = tuple(f"{Path(name).stem}.override{Path(name).suffix}" for name in FILES)


@dataclass(frozen=True, slots=True)
class Project:
    """A compose project that is there. `secrets` are the names and values of `.env` and of the env files."""

    directory: Path
    name: str
    files: tuple[Path, ...]
    secrets: dict[str, set[str]]
    harmless: frozenset[str]
    """Words that may be shown whatever stands in `.env`: the project's name, those of services and networks."""
    inactive: frozenset[str] = frozenset()
    """Services that the compose files have for profiles of which none is active: nobody misses them."""

    @property
    def mask(self) -> NameMask:
        """Return the mask of all that is known to be a secret without asking compose."""
        return NameMask(self.secrets, self.harmless)

    def texts(self) -> str:
        """Return the compose files as they are written: what stands in them is no secret of `.env`."""
        return "\n".join(path.read_text("utf-8", "replace") for path in self.files if path.is_file())


def find_project(settings: Settings) -> Project:
    """Return the project of the settings; PreflightError with the sentence that says what is missing."""
    directory = settings.services_compose_dir
    if directory is None:
        raise PreflightError([tr("services.compose_dir is empty: no compose project is looked after.")])
    if not directory.is_dir():
        raise PreflightError(
            [
                tr(
                    "services.compose_dir ({directory}) is not there. Clone the site's repository to it, "
                    "or set where it is.",
                    directory=directory,
                )
            ]
        )
    try:
        named = [Path(part) for part in set_value(directory / ".env", "COMPOSE_FILE").split(":") if part]
        files = tuple(directory / part for part in named) or _present(directory)
        if not files or not files[0].is_file():
            missing = files[0].name if files else FILES[0]
            raise PreflightError(
                [
                    tr(
                        "There is no compose file ({missing}) in services.compose_dir ({directory}). Put it there.",
                        missing=missing,
                        directory=directory,
                    )
                ]
            )
        raw = list(_raw(files))
        secrets = read_env(directory / ".env")
        for extra in _env_files(raw):
            for name, values in read_env(directory / extra).items():
                secrets.setdefault(name, set()).update(values)
    except OSError as error:
        raise PreflightError(
            [
                tr(
                    "The compose project in {directory} cannot be read: {strerror} ({filename}). Run as root.",
                    directory=directory,
                    strerror=error.strerror,
                    filename=error.filename,
                )
            ]
        ) from None
    name = _name(settings, directory, raw)
    words = {name, *(word for part in raw for key in ("services", "networks", "volumes") for word in _keys(part, key))}
    return Project(directory, name, files, secrets, frozenset(words), frozenset(_inactive(directory, raw)))


def _present(directory: Path) -> tuple[Path, ...]:
    main = next((directory / name for name in FILES if (directory / name).is_file()), None)
    if main is None:
        return ()
    more = next((directory / name for name in _OVERRIDES if (directory / name).is_file()), None)
    return (main, more) if more else (main,)


def _raw(files: tuple[Path, ...]) -> Iterator[dict[str, Any]]:
    """Yield the files as they are, nothing put in for variables; one that is damaged is compose's to complain about."""
    for path in files:
        try:
            data = load_yaml(path.read_bytes())
        except (FileNotFoundError, yaml.YAMLError, ValueError):
            continue
        if isinstance(data, dict):
            yield data


def _keys(data: dict[str, Any], key: str) -> list[str]:
    found = data.get(key)
    return [str(name) for name in found] if isinstance(found, dict) else []


def _env_files(raw: list[dict[str, Any]]) -> Iterator[str]:
    for data in raw:
        services = data.get("services")
        for service in services.values() if isinstance(services, dict) else ():
            named = service.get("env_file") if isinstance(service, dict) else None
            for entry in named if isinstance(named, list) else [named]:
                path = entry.get("path") if isinstance(entry, dict) else entry
                if isinstance(path, str) and "$" not in path:
                    yield path


def _inactive(directory: Path, raw: list[dict[str, Any]]) -> Iterator[str]:
    active = {part.strip() for part in set_value(directory / ".env", "COMPOSE_PROFILES").split(",")}
    profiles: dict[str, set[str]] = {}
    for data in raw:
        services = data.get("services")
        for name, service in services.items() if isinstance(services, dict) else ():
            named = service.get("profiles") if isinstance(service, dict) else None
            profiles.setdefault(str(name), set()).update(map(str, named if isinstance(named, list) else ()))
    for name, wanted in profiles.items():
        if wanted and not wanted & active and "*" not in active:
            yield name


def _name(settings: Settings, directory: Path, raw: list[dict[str, Any]]) -> str:
    """Return the name that compose takes: told, in `.env`, in the file, else the directory's."""
    named = [str(data["name"]) for data in raw if isinstance(data.get("name"), str) and "$" not in data["name"]]
    told = settings.services_project or set_value(directory / ".env", "COMPOSE_PROJECT_NAME")
    name = told or (named[-1] if named else directory.resolve().name)
    return re.sub(r"[^-_a-z0-9]", "", name.lower()) or "default"
