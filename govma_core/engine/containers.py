"""Finding running containers by what operators call them, and working in them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from govma_core.engine.client import absent, connected, told_as
from govma_core.errors import EngineError
from govma_core.text.language import tr

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

COMPOSE = "com.docker.compose."
"""How the labels begin that compose gives to what it makes."""

PROJECT, SERVICE, VERSION = f"{COMPOSE}project", f"{COMPOSE}service", f"{COMPOSE}version"
ONE_OFF = f"{COMPOSE}oneoff"
"""`True` of what was started beside a service, for one command (`docker compose run`)."""


@dataclass(frozen=True, slots=True)
class Inside:
    """Where in a container a directory of this machine is, and the mount (as the engine tells it) that brings it."""

    path: str
    mount: dict[str, Any]


def running(client: DockerClient, reference: str, directory: Path) -> list[Container]:
    """Return the running containers of a compose service, of a name, or with a label (`name=value`).

    Of a service only those that have `directory` mounted: another project on the machine may have one called so, too.
    What was started beside the service (`docker compose run`) is none of it.
    """
    with told_as(tr("look for {wanted}", wanted=reference)):
        if "=" in reference:
            return list(client.containers.list(filters={"label": reference}, ignore_removed=True))
        labelled = client.containers.list(filters={"label": f"{SERVICE}={reference}"}, ignore_removed=True)
        containers = [
            container for container in labelled if not one_off(container.labels) and where(container, directory)
        ]
        return containers or [
            container
            for container in client.containers.list(filters={"name": reference}, ignore_removed=True)
            if container.name == reference
        ]


def one_off(labels: Mapping[str, str] | None) -> bool:
    """Tell by its labels whether a container was started beside its service."""
    return str((labels or {}).get(ONE_OFF, "")).lower() == "true"


def blanked(labels: Iterable[str]) -> dict[str, str]:
    """Return labels that undo those of compose: what it built carries its project's, and would pass for a part."""
    return {name: "" for name in labels if name.startswith(COMPOSE)}


def where(container: Container, directory: Path) -> Inside | None:
    """Tell where a container has a directory of this machine; None when it has it nowhere."""
    real = Path(os.path.realpath(directory))
    best: Inside | None = None
    longest = -1
    for mount in container.attrs.get("Mounts") or ():
        if not mount.get("Source"):
            continue
        source = Path(os.path.realpath(mount["Source"]))
        if (source == real or source in real.parents) and len(source.parts) > longest:
            inside = PurePosixPath(mount["Destination"]) / real.relative_to(source).as_posix()
            best, longest = Inside(str(inside), mount), len(source.parts)
    return best


def addresses(container: Container) -> list[str]:
    """Return the addresses under which this machine reaches a container."""
    settings = container.attrs.get("NetworkSettings") or {}
    networks = list((settings.get("Networks") or {}).values())
    kinds = ("IPAddress", "GlobalIPv6Address")
    return [str(network[kind]) for kind in kinds for network in networks if network.get(kind)]


def links(entries: Iterable[str] | None) -> list[tuple[str, str]]:
    """Return the containers that one is linked to, and their names there; the engine tells `/db:/web/database`."""
    pairs = (entry.partition(":") for entry in entries or ())
    return [(name.removeprefix("/"), (alias or name).rpartition("/")[2]) for name, _, alias in pairs]


def workers(container: Container) -> set[str]:
    """Return the processes of a container that answer requests: those called as their parent that have no child.

    Empty where the engine cannot tell.
    """
    with suppress(EngineError), told_as(tr("list the processes of {name}", name=container.name)):
        rows = container.top(ps_args="-eo pid,ppid,comm")["Processes"] or ()
        names = {row[0]: row[-1] for row in rows}
        parents = {row[1] for row in rows}
        return {row[0] for row in rows if row[0] not in parents and names.get(row[1]) == row[-1]}
    return set()


_QUICK = 5


@dataclass(frozen=True, slots=True)
class ContainerMounts:
    """A running (or paused, or restarting) container, and the paths of the machine that it has mounted."""

    name: str
    sources: tuple[str, ...]


def container_mounts() -> list[ContainerMounts]:
    """Ask the engine; nothing where there is none. EngineError when one is there and does not answer within seconds."""
    if absent():
        return []
    with connected(_QUICK, otherwise="") as client, told_as(tr("list its containers")):
        summaries = client.api.containers(filters={"status": ["running", "paused", "restarting"]})
    return [
        ContainerMounts(
            ", ".join(name.removeprefix("/") for name in container.get("Names") or [container["Id"][:12]]),
            tuple(mount["Source"] for mount in container.get("Mounts") or () if mount.get("Source")),
        )
        for container in summaries
    ]
