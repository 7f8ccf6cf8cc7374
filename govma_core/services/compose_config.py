"""The services as the compose files define them, read from the output of `compose config` (version 1 and 2)."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from govma_core.errors import CommandError
from govma_core.services.compose import Project, Question, load_yaml, require_all_set
from govma_core.services.env_secrets import fingerprint


@dataclass(frozen=True, slots=True)
class Mount:
    """Something mounted at `target`: a directory (`bind`) or a volume by its name; `source` may be a secret path."""

    target: str
    source: str
    kind: str
    writable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceConfig:
    """One service as it should be. `environment` holds fingerprints of values, never values; None means inherited."""

    name: str
    image: str
    context: str | None
    """The folder that its image is built from, relative to the project; None for an image that is not built here."""
    environment: Mapping[str, bytes | None]
    mounts: tuple[Mount, ...]
    networks: frozenset[str] | None
    """By the names they have in Docker; None when it shares another one's."""
    ports: frozenset[tuple[str, str, str]]
    """Address ('' for all), published port ('' for any) and `port/protocol` inside."""
    command: tuple[str, ...] | None
    entrypoint: tuple[str, ...] | None
    restart: str
    depends_on: frozenset[str]
    replicas: int
    injected: frozenset[str]
    """Where its configs and secrets appear, which are mounts of the container and none of the file."""

    @property
    def builds(self) -> bool:
        """Tell whether its image is built from the project."""
        return self.context is not None


@dataclass(frozen=True, slots=True)
class ComposeConfig:
    """All services; names and values of all that was put in for a variable, or came from an env file."""

    services: Mapping[str, ServiceConfig]
    secrets: Mapping[str, set[str]]
    data: Mapping[str, Any] = field(repr=False, compare=False)
    """The answer that it was read from."""
    second: bool = False
    """True for the answer of version 2 of compose (and of later ones)."""

    def in_order(self, names: set[str]) -> list[str]:
        """Return these services, each behind those that it depends on."""
        ordered: list[str] = []

        def add(name: str, above: frozenset[str]) -> None:
            if name in above or name in ordered or name not in self.services:
                return
            for other in sorted(self.services[name].depends_on):
                add(other, above | {name})
            if name in names:
                ordered.append(name)

        for name in self.services:
            add(name, frozenset())
        return ordered


def load_config(project: Project) -> ComposeConfig:
    """Return what the compose file wants; CommandError with compose's words, masked, when it is not valid.

    PreflightError where a variable is not set: compose would put nothing in its place.
    """
    question = Question(project, "config")
    answer = question.answer(project.mask)
    require_all_set(question)
    return read_config(project, answer)


def read_config(project: Project, text: str) -> ComposeConfig:
    """Read what `compose config` printed; CommandError when that is not what any known compose prints."""
    try:
        return read_data(project, load_yaml(text))
    except (yaml.YAMLError, ValueError):
        raise CommandError("compose config printed something that is not understood.") from None


def read_data(project: Project, data: Any) -> ComposeConfig:  # noqa: ANN401
    """Read the same once it is parsed."""
    try:
        raw_services = dict(data["services"])
        # What is not written in the compose files was put in for a variable, or came from an env file.
        plain = project.texts()
        secrets = {name: set(values) for name, values in project.secrets.items()}
        for raw in raw_services.values():
            for name, value in variables_of(raw).items():
                if value and value not in plain:
                    secrets.setdefault(name, set()).add(value)
        # Only version 2 prints the project's name, and joins it to others with a dash.
        reader = _Reader(project, data, second=(second := "name" in data))
        services = {name: reader.service(str(name), raw or {}) for name, raw in raw_services.items()}
        return ComposeConfig(services, secrets, data, second)
    except (KeyError, TypeError, AttributeError, ValueError):
        raise CommandError("compose config printed something that is not understood.") from None


def variables_of(service: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the environment of a service in compose's answer; None for what is inherited."""
    raw = service.get("environment") or {}
    if isinstance(raw, list):
        pairs = (str(entry).partition("=") for entry in raw)
        return {name: value if equals else None for name, equals, value in pairs}
    return {str(name): None if value is None else _scalar(value) for name, value in raw.items()}


def _scalar(value: object) -> str:
    """Return a value as a container gets it: compose doubles the dollars of what it prints."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text.replace("$$", "$")


class _Reader:
    def __init__(self, project: Project, data: Mapping[str, Any], *, second: bool) -> None:
        self._project = project
        self._joint = "-" if second else "_"
        self._networks: Mapping[str, Any] = data.get("networks") or {}
        self._volumes: Mapping[str, Any] = data.get("volumes") or {}

    def service(self, name: str, raw: Mapping[str, Any]) -> ServiceConfig:
        build = raw.get("build")
        context = None if build is None else build if isinstance(build, str) else str(build.get("context", "."))
        deploy = raw.get("deploy") or {}
        variables = variables_of(raw)
        return ServiceConfig(
            name=name,
            image=str(raw.get("image") or f"{self._project.name}{self._joint}{name}"),
            context=None if context is None else self._relative(context),
            environment={key: None if value is None else fingerprint(value) for key, value in variables.items()},
            mounts=tuple(self._mount(entry) for entry in raw.get("volumes") or ()),
            networks=None if raw.get("network_mode") else self._all_networks(raw.get("networks")),
            ports=frozenset(port for entry in raw.get("ports") or () for port in _ports(entry)),
            command=_words(raw.get("command")),
            entrypoint=_words(raw.get("entrypoint")),
            restart=str(raw.get("restart") or "no"),
            depends_on=frozenset(map(str, raw.get("depends_on") or ())),
            replicas=int(next(each for each in (raw.get("scale"), deploy.get("replicas"), 1) if each is not None)),
            injected=frozenset((*_injected(raw, "configs", "/"), *_injected(raw, "secrets", "/run/secrets/"))),
        )

    def _relative(self, context: str) -> str:
        path = Path(context)
        directory = self._project.directory
        for base in (directory, directory.resolve()):
            if path.is_absolute() and path.is_relative_to(base):
                path = path.relative_to(base)
        return str(path)

    def _mount(self, entry: Any) -> Mount:  # noqa: ANN401
        if isinstance(entry, str):
            source, _, rest = entry.partition(":")
            target, _, mode = rest.partition(":")
            if not target:
                return Mount(source, "", "volume")
            kind = "bind" if source.startswith("/") else "volume"
            writable = "ro" not in mode.split(",")
        else:
            kind, source = str(entry["type"]), _scalar(entry.get("source") or "")
            target, writable = str(entry["target"]), not entry.get("read_only")
        source = _scalar(source) if kind == "bind" else self._named(self._volumes, source)
        return Mount(target.rstrip("/") or "/", source.rstrip("/") or source, kind, writable)

    def _named(self, table: Mapping[str, Any], key: str) -> str:
        described = table.get(key)
        described = described if isinstance(described, dict) else {}
        external = described.get("external")
        name = described.get("name") or (external.get("name") if isinstance(external, dict) else None)
        if name:
            return str(name)
        return key if external or not key else f"{self._project.name}_{key}"

    def _all_networks(self, raw: Any) -> frozenset[str]:  # noqa: ANN401
        return frozenset(self._named(self._networks, str(key)) for key in raw or ("default",))


def _injected(raw: Mapping[str, Any], key: str, place: str) -> list[str]:
    targets = []
    for entry in raw.get(key) or ():
        target = str(entry.get("target") or entry["source"]) if isinstance(entry, dict) else str(entry)
        targets.append(target if target.startswith("/") else f"{place}{target}")
    return targets


def _words(raw: Any) -> tuple[str, ...] | None:  # noqa: ANN401
    if raw is None:
        return None
    words = shlex.split(raw) if isinstance(raw, str) else raw
    return tuple(_scalar(word) for word in words)


def _ports(entry: Any) -> list[tuple[str, str, str]]:  # noqa: ANN401
    if isinstance(entry, dict):
        address = str(entry.get("host_ip") or "")
        published, inside = str(entry.get("published") or ""), str(entry["target"])
        return [(_address(address), published, f"{inside}/{entry.get('protocol') or 'tcp'}")]
    text, _, protocol = str(entry).partition("/")
    outside, _, inside = text.rpartition(":")
    address, _, published = outside.rpartition(":")
    kind = protocol or "tcp"
    return [
        (_address(address), one, f"{other}/{kind}")
        for one, other in zip(_range(published, inside), _range(inside), strict=False)
    ]


def _address(text: str) -> str:
    return "" if text in ("0.0.0.0", "::", "[::]") else text.strip("[]")  # noqa: S104 - compared with, not bound


def _range(text: str, like: str = "") -> list[str]:
    low, dash, high = text.partition("-")
    if not text:
        return [""] * len(_range(like)) if like else [""]
    return [str(port) for port in range(int(low), int(high) + 1)] if dash else [text]
