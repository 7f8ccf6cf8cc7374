"""Finding running containers by what operators call them, and working in them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from docker import DockerClient
from docker.models.containers import Container

from govma_core.engine.api import told_as

SERVICE_LABEL = "com.docker.compose.service"


@dataclass(frozen=True, slots=True)
class Inside:
    """Where in a container a directory of this machine is, and the mount (as the engine tells it) that brings it."""

    path: str
    mount: dict[str, Any]


def running(client: DockerClient, wanted: str, directory: Path) -> list[Container]:
    """Give the running containers of a compose service, of a name, or with a label (`name=value`).

    Of several with the service's name, those that have `directory` mounted are meant, if there are any: another
    project on the machine may have a service called so, too.
    """
    with told_as(f"look for {wanted}"):
        if "=" in wanted:
            return list(client.containers.list(filters={"label": wanted}, ignore_removed=True))
        found = client.containers.list(filters={"label": f"{SERVICE_LABEL}={wanted}"}, ignore_removed=True)
        if not found:
            return [
                container
                for container in client.containers.list(filters={"name": wanted}, ignore_removed=True)
                if container.name == wanted
            ]
    return [container for container in found if where(container, directory)] or list(found)


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
    """Give the addresses under which this machine reaches a container."""
    settings = container.attrs.get("NetworkSettings") or {}
    networks = (settings.get("Networks") or {}).values()
    return [str(network["IPAddress"]) for network in networks if network.get("IPAddress")]
