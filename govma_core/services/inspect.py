"""What runs: the containers of a compose project, found by compose's labels, and the images they are made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from govma_core.engine.client import not_found, told_as
from govma_core.engine.containers import COMPOSE, PROJECT, SERVICE, VERSION, one_off
from govma_core.masking import Mask
from govma_core.services.compose import Project
from govma_core.services.compose_config import ComposeConfig, Mount
from govma_core.services.env_secrets import fingerprint, named_mask
from govma_core.text.language import tr

if TYPE_CHECKING:
    from docker import DockerClient

_HASH = f"{COMPOSE}config-hash"


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container of the project. Times are epoch seconds, 0 when not known; `environment` holds fingerprints."""

    id: str
    name: str
    service: str
    state: str
    health: str
    """`healthy`, `unhealthy`, `starting`; '' without a health check."""
    started: float
    restarts: int
    exit_code: int
    image: str
    image_id: str
    config_hash: str
    made_by: str
    """The version of compose that made it."""
    environment: Mapping[str, bytes]
    mounts: tuple[Mount, ...]
    networks: frozenset[str]
    ports: frozenset[tuple[str, str, str]]
    command: tuple[str, ...]
    entrypoint: tuple[str, ...]
    restart: str

    @property
    def running(self) -> bool:
        """Tell whether its program runs."""
        return self.state == "running"


@dataclass(frozen=True, slots=True)
class Image:
    """What an image brings itself, when it was made, and when a build gave it a name last (epoch seconds).

    A build whose every step was in the engine's cache makes no new image, but names the one there is anew.
    """

    id: str
    created: float
    environment: Mapping[str, bytes]
    command: tuple[str, ...]
    entrypoint: tuple[str, ...]
    last_tagged: float = 0.0


@dataclass(frozen=True, slots=True)
class ProjectState:
    """All containers of a project by service, their images by id, and the ids of all tags there are."""

    containers: tuple[Container, ...]
    images: Mapping[str, Image]
    tags: Mapping[str, str]
    """By the short names that the engine gives: without the registry that goes without saying."""
    environments: tuple[Mapping[str, str], ...]
    """Values of the containers, for the mask and for nothing else."""

    def of(self, service: str) -> tuple[Container, ...]:
        """Return the containers of a service, those that run first."""
        containers = [container for container in self.containers if container.service == service]
        return tuple(sorted(containers, key=lambda container: (not container.running, container.name)))

    def tagged(self, image: str) -> str:
        """Return the id of the image that a name stands for now, '' when there is none."""
        return self.tags.get(listed_name(image), "")


def look(client: DockerClient, project: str) -> ProjectState:
    """Look at a project's containers; EngineError when the engine does not tell."""
    with told_as(tr("list its containers")):
        listed = client.api.containers(all=True, filters={"label": f"{PROJECT}={project}"})
        tags: dict[str, str] = {}
        for image in client.api.images():
            names = (image["Id"], *(image.get("RepoTags") or ()), *(image.get("RepoDigests") or ()))
            tags |= dict.fromkeys(names, image["Id"])
    containers, values = [], []
    for entry in listed:
        if one_off(entry.get("Labels")):
            continue
        raw = inspected(client, entry["Id"])
        if raw is not None:
            containers.append(read_container(raw))
            values.append(dict(pair.partition("=")[::2] for pair in raw["Config"].get("Env") or ()))
    images = {image_id: _image(client, image_id) for image_id in {container.image_id for container in containers}}
    there = {image_id: image for image_id, image in images.items() if image is not None}
    return ProjectState(tuple(containers), there, tags, tuple(values))


def inspected(client: DockerClient, container: str) -> dict[str, Any] | None:
    """Return all that the engine knows of a container; None when it is gone."""
    with told_as(tr("look at a container")):
        try:
            raw: dict[str, Any] = client.api.inspect_container(container)
        except not_found():
            return None
        return raw


def read_container(raw: Mapping[str, Any]) -> Container:
    """Read the engine's description of a container."""
    config, host, state = raw["Config"], raw["HostConfig"], raw["State"]
    labels = config.get("Labels") or {}
    networks = (raw.get("NetworkSettings") or {}).get("Networks") or {}
    return Container(
        id=raw["Id"],
        name=raw["Name"].removeprefix("/"),
        service=labels.get(SERVICE, ""),
        state=state["Status"],
        health=(state.get("Health") or {}).get("Status", "").replace("none", ""),
        started=epoch(state.get("StartedAt")),
        restarts=int(raw.get("RestartCount") or 0),
        exit_code=int(state.get("ExitCode") or 0),
        image=config.get("Image") or "",
        image_id=raw["Image"],
        config_hash=labels.get(_HASH, ""),
        made_by=labels.get(VERSION, ""),
        environment=_digests(config.get("Env")),
        mounts=tuple(_mounts(raw)),
        networks=frozenset(networks),
        ports=frozenset(_ports(host.get("PortBindings") or {})),
        command=tuple(config.get("Cmd") or ()),
        entrypoint=tuple(config.get("Entrypoint") or ()),
        restart=(host.get("RestartPolicy") or {}).get("Name") or "no",
    )


def epoch(text: str | None) -> float:
    """Return a time of the engine as seconds since the epoch; 0 for none."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return 0.0
    return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def listed_name(image: str) -> str:
    """Return a name of an image as the engine lists it: what goes without saying left out, or said."""
    for registry in ("docker.io/", "index.docker.io/"):
        image = image.removeprefix(registry)
    image = image.removeprefix("library/")
    name, at, digest = image.partition("@")
    tagged = ":" in name.rpartition("/")[2]
    if at:
        # Beside a digest the tag means nothing.
        return f"{name.rpartition(':')[0] if tagged else name}@{digest}"
    return name if tagged else f"{name}:latest"


def _image(client: DockerClient, image_id: str) -> Image | None:
    with told_as(tr("look at an image")):
        try:
            raw: dict[str, Any] = client.api.inspect_image(image_id)  # type: ignore[no-untyped-call]
        except not_found():
            return None
    config = raw.get("Config") or {}
    command, entrypoint = tuple(config.get("Cmd") or ()), tuple(config.get("Entrypoint") or ())
    created = epoch(raw.get("Created"))
    last_tagged = max(created, epoch((raw.get("Metadata") or {}).get("LastTagTime")))
    return Image(image_id, created, _digests(config.get("Env")), command, entrypoint, last_tagged)


def _digests(pairs: Iterable[str] | None) -> dict[str, bytes]:
    split = (pair.partition("=") for pair in pairs or ())
    return {name: fingerprint(value) for name, _, value in split}


def _mounts(raw: Mapping[str, Any]) -> Iterable[Mount]:
    for entry in raw.get("Mounts") or ():
        kind = entry.get("Type") or "bind"
        source = entry.get("Name") if kind == "volume" else entry.get("Source")
        yield Mount(str(entry["Destination"]).rstrip("/") or "/", source or "", kind, bool(entry.get("RW", True)))


def _ports(bindings: Mapping[str, Any]) -> Iterable[tuple[str, str, str]]:
    one: Mapping[str, str]
    for inside, published in bindings.items():
        for one in published or [{}]:
            address = one.get("HostIp") or ""
            yield "" if address in ("0.0.0.0", "::") else address, one.get("HostPort") or "", inside  # noqa: S104


_TELLING = 4
"""Characters: in the midst of another value a shorter one may be anything."""


def whole_mask(project: Project, config: ComposeConfig | None, state: ProjectState) -> Mask:
    """Return the mask of all secrets: also of those that containers still have, and that `.env` had before."""
    current = config.secrets if config else project.secrets
    secrets = {name: set(values) for name, values in current.items()}
    for environment in state.environments:
        for name in current.keys() & environment.keys():
            secrets[name].add(environment[name])
            for now in current[name]:
                for part, value in _former_parts(current, now, environment[name]):
                    secrets[part].add(value)
    texts = project.texts()
    # A name that compose made may be shown, or one that the compose file has; else it is a variable's.
    names = {each.name for each in state.containers if each.name.startswith(project.name) or each.name in texts}
    return named_mask(secrets, project.harmless | {each.service for each in state.containers} | names)


def _former_parts(current: Mapping[str, set[str]], now: str, before: str) -> Iterator[tuple[str, str]]:
    """Yield by name what stood in a value where other values stand in it now: `before` of `mysql://user:before@db`."""
    inside = {
        value: name
        for name, values in current.items()
        for value in values
        if len(value) >= _TELLING and value != now and value in now
    }
    if not inside or now == before:
        return
    pieces = re.split("(" + "|".join(map(re.escape, sorted(inside, key=len, reverse=True))) + ")", now)
    pattern = "".join("(.+)" if piece in inside else re.escape(piece) for piece in pieces)
    match = re.fullmatch(pattern, before, re.DOTALL)
    if match:
        yield from zip((inside[piece] for piece in pieces if piece in inside), match.groups(), strict=True)
