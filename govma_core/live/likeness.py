"""What a throwaway container takes over from the one that serves the site, so that it is tried under its conditions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docker import DockerClient
from docker.models.containers import Container
from docker.types import Mount

from govma_core.engine.containers import running, where
from govma_core.errors import RehearsalError
from govma_core.settings import Settings

_COMPOSE = "com.docker.compose."


def like(client: DockerClient, settings: Settings) -> tuple[str, str, dict[str, Any], list[str]]:
    """Describe a container like the one that `rehearsal.like` names.

    Gives the image's id, where the container has the versions directory, the options for one like it, and the names of
    the networks it has to be connected to. Everything of this machine that it has mounted is read-only, and it answers
    to none of the names under which its services find one another.
    RehearsalError when there is not exactly one such container, or one like it could not run beside it.
    """
    wanted = settings.rehearsal_like
    found = running(client, wanted, settings.versions_dir)
    if not found:
        raise RehearsalError(
            f"No running container is called {wanted!r}, nor is the service of one (rehearsal.like). "
            "Start it, or try the version in an image: rehearsal.image."
        )
    container = found[0]
    inside = where(container, settings.versions_dir)
    if inside is None:
        raise RehearsalError(
            f"The container {container.name} (rehearsal.like) has not mounted {settings.versions_dir}, so one like it "
            "would not show the new version. Name the container of the web server."
        )
    mode = str(container.attrs["HostConfig"].get("NetworkMode", ""))
    if mode == "host" or mode.startswith("container:"):
        raise RehearsalError(
            f"The container {container.name} (rehearsal.like) uses the network of {mode.removeprefix('container:')}: "
            "another one beside it would want the same ports. Use rehearsal.image or rehearsal.command."
        )
    networks = list(container.attrs["NetworkSettings"]["Networks"] or ())
    return str(container.attrs["Image"]), inside.path, _options(container, inside.mount), networks


def blanked(labels: dict[str, str]) -> dict[str, str]:
    """Give labels that undo those of compose: what compose built carries its project's, and would pass for a part."""
    return {name: "" for name in labels if name.startswith(_COMPOSE)}


def _options(container: Container, versions: dict[str, Any]) -> dict[str, Any]:
    config, host = container.attrs["Config"], container.attrs["HostConfig"]
    return {
        "command": config.get("Cmd"),
        "entrypoint": config.get("Entrypoint"),
        "environment": list(config.get("Env") or ()),
        "user": config.get("User") or None,
        "working_dir": config.get("WorkingDir") or None,
        "extra_hosts": dict(line.split(":", 1) for line in host.get("ExtraHosts") or ()),
        "dns": host.get("Dns") or None,
        "tmpfs": host.get("Tmpfs") or None,
        "mem_limit": host.get("Memory") or None,
        "mounts": [_mount(found) for found in container.attrs["Mounts"] if found != versions],
    }


def _mount(found: dict[str, Any]) -> Mount:
    """Give what is mounted in a container once more, read-only."""
    if found["Type"] == "volume":
        return Mount(found["Destination"], found["Name"], type="volume", read_only=True, no_copy=True)
    return Mount(found["Destination"], found["Source"], type=found["Type"], read_only=True)


def neighbours(mount: str, settings: Settings) -> list[Mount]:
    """Give the mounts of uploads and images, where the links of a version lead, for an image that knows none."""
    beside = Path(mount).parent
    places = (("uploads", settings.upload_dir), ("images", settings.image_dir))
    return [
        Mount(str(beside / name), str(path), type="bind", read_only=True)
        for name, path in places
        if path is not None and path.is_dir()
    ]
