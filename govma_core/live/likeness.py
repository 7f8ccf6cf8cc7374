"""What a throwaway container takes over from the one that serves the site, so that it is tried under its conditions."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from docker import DockerClient
from docker.models.containers import Container
from docker.types import Mount

from govma_core.engine.containers import Inside, running, where
from govma_core.errors import NotTriedError
from govma_core.language import tr
from govma_core.settings import Settings

_COMPOSE = "com.docker.compose."


def like(client: DockerClient, settings: Settings) -> tuple[str, str, dict[str, Any], list[str]]:
    """Describe a container like the one that `rehearsal.like` names.

    Gives the image's id, where the container has the versions directory, the options for one like it, and the names of
    the networks it has to be connected to. Everything of this machine that it has mounted is read-only, and it answers
    to none of the names under which its services find one another.
    NotTriedError when there is not exactly one such container, or one like it could not run beside it.
    """
    wanted = settings.rehearsal_like
    found = running(client, wanted, settings.versions_dir)
    if not found:
        raise NotTriedError(
            tr(
                "No running container with {versions_dir} mounted is called {wanted!r}, nor is its "
                "service (rehearsal.like). Start it, or try the version in an image: rehearsal.image.",
                versions_dir=settings.versions_dir,
                wanted=wanted,
            )
        )
    container = found[0]
    if len({(other.attrs["Image"], str(other.attrs["Config"].get("Cmd"))) for other in found}) > 1:
        names = ", ".join(sorted(str(other.name) for other in found))
        raise NotTriedError(
            tr(
                "{wanted!r} (rehearsal.like) is {names}, which are not alike. Name one of them.",
                wanted=wanted,
                names=names,
            )
        )
    inside = where(container, settings.versions_dir)
    if inside is None:
        raise NotTriedError(
            tr(
                "The container {name} (rehearsal.like) has not mounted {versions_dir}, so one like it "
                "would not show the new version. Name the container of the web server.",
                name=container.name,
                versions_dir=settings.versions_dir,
            )
        )
    mode = str(container.attrs["HostConfig"].get("NetworkMode", ""))
    if mode == "host" or mode.startswith("container:"):
        raise NotTriedError(
            tr(
                "The container {name} (rehearsal.like) uses the network of {removeprefix}: another one "
                "beside it would want the same ports. Use rehearsal.image or rehearsal.command.",
                name=container.name,
                removeprefix=mode.removeprefix("container:"),
            )
        )
    networks = list(container.attrs["NetworkSettings"]["Networks"] or ())
    return str(container.attrs["Image"]), inside.path, _options(container, inside, settings), networks


def blanked(labels: dict[str, str]) -> dict[str, str]:
    """Return labels that undo those of compose: what compose built carries its project's, and would pass for a part."""
    return {name: "" for name in labels if name.startswith(_COMPOSE)}


def _options(container: Container, inside: Inside, settings: Settings) -> dict[str, Any]:
    # A mount of a directory above stays, and the candidate's comes over it.
    versions = inside.mount if inside.mount["Destination"] == inside.path else None
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
        "mounts": [_mount(found, settings) for found in container.attrs["Mounts"] if found != versions],
    }


def _mount(found: dict[str, Any], settings: Settings) -> Mount:
    """Return what is mounted in a container once more, read-only; what need not last is empty and may be written."""
    at = found["Destination"]
    if found["Type"] == "tmpfs" or any(PurePosixPath(at).is_relative_to(path) for path in settings.rehearsal_scratch):
        return Mount(at, None, type="tmpfs")
    if found["Type"] == "volume":
        return Mount(at, found["Name"], type="volume", read_only=True, no_copy=True)
    return Mount(at, found["Source"], type=found["Type"], read_only=True)


def neighbours(mount: str, settings: Settings) -> list[Mount]:
    """Return the mounts of uploads and images, where the links of a version lead, for an image that knows none."""
    beside = Path(mount).parent
    places = (("uploads", settings.upload_dir), ("images", settings.image_dir))
    return [
        Mount(str(beside / name), str(path), type="bind", read_only=True)
        for name, path in places
        if path is not None and path.is_dir()
    ]
