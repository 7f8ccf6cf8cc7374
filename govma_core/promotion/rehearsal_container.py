"""The container that a version is tried in: what it is made of, and how it is like the live one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from govma_core.context import Context
from govma_core.engine.client import told_as
from govma_core.engine.containers import Inside, running, where
from govma_core.engine.throwaway import labels, mount, throwaway
from govma_core.errors import NotTriedError
from govma_core.promotion.rehearsal_copy import Stage
from govma_core.settings import Settings
from govma_core.text.language import tr

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

_COMPOSE = "com.docker.compose."
MOUNT_LABEL = "govma-console.mount"
"""Where in the container the candidate's versions directory is."""


@contextmanager
def container_for(client: DockerClient, context: Context, stage: Stage) -> Iterator[Container]:
    """Run a container with the staged version for the block, under the labels of this run."""
    settings, reporter = context.settings, context.reporter
    options: dict[str, Any]
    networks: list[str]
    if settings.rehearsal_like:
        image, mount_point, options, networks = like(client, settings)
    else:
        image, mount_point, networks = settings.rehearsal_image, settings.rehearsal_mount, []
        options = {"mounts": neighbours(mount_point, settings)}
    options["mounts"] += [
        mount(f"{mount_point}/{inside}".rstrip("/"), str(source), writable=writable)
        for source, inside, writable in stage.mounts
    ]
    # What its programs may quote in errors is not for the log.
    reporter.hide(options.get("environment") or ())
    with told_as(tr("find the image {image}", image=image)):
        image_labels = client.images.get(image).labels
    ours = blanked(image_labels) | labels(settings.versions_dir, context.run_id) | {MOUNT_LABEL: mount_point}
    with throwaway(
        client,
        reporter,
        image,
        name=f"govma-rehearsal-{context.run_id}",
        labels=ours,
        # On this machine only, and on a port that is free.
        ports={f"{settings.rehearsal_port}/tcp": ("127.0.0.1", None)},
        log_config={"type": "json-file", "config": {"max-size": "1m"}},
        network=networks[0] if networks else None,
        **options,
    ) as container:
        for network in networks[1:]:
            with told_as(tr("connect the container to the network {network}", network=network)):
                client.networks.get(network).connect(container)
        if not stage.in_place():
            raise exchanged_error()
        with told_as(tr("start the container in which the version is tried")):
            container.start()
        yield container


def like(client: DockerClient, settings: Settings) -> tuple[str, str, dict[str, Any], list[str]]:
    """Describe a container like the one that `rehearsal.like` names.

    Gives the image's id, where the container has the versions directory, the options for one like it, and the names of
    the networks it has to be connected to. Everything of this machine that it has mounted is read-only, and it answers
    to none of the names under which its services find one another.
    NotTriedError when there is not exactly one such container, or one like it could not run beside it.
    """
    service = settings.rehearsal_like
    containers = running(client, service, settings.versions_dir)
    if not containers:
        raise NotTriedError(
            "No running container with {versions_dir} mounted is called {wanted!r}, nor is its "
            "service (rehearsal.like). Start it, or try the version in an image: rehearsal.image.",
            versions_dir=settings.versions_dir,
            wanted=service,
        )
    container = containers[0]
    if len({(other.attrs["Image"], str(other.attrs["Config"].get("Cmd"))) for other in containers}) > 1:
        names = ", ".join(sorted(str(other.name) for other in containers))
        raise NotTriedError(
            "{wanted!r} (rehearsal.like) is {names}, which are not alike. Name one of them.",
            wanted=service,
            names=names,
        )
    inside = where(container, settings.versions_dir)
    if inside is None:
        raise NotTriedError(
            "The container {name} (rehearsal.like) has not mounted {versions_dir}, so one like it "
            "would not show the new version. Name the container of the web server.",
            name=container.name,
            versions_dir=settings.versions_dir,
        )
    mode = str(container.attrs["HostConfig"].get("NetworkMode", ""))
    if mode == "host" or mode.startswith("container:"):
        raise NotTriedError(
            "The container {name} (rehearsal.like) uses the network of {removeprefix}: another one "
            "beside it would want the same ports. Use rehearsal.image or rehearsal.command.",
            name=container.name,
            removeprefix=mode.removeprefix("container:"),
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
        "mounts": [_mounted_again(entry, settings) for entry in container.attrs["Mounts"] if entry != versions],
    }


def _mounted_again(entry: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Return what is mounted in a container once more, read-only; what need not last is empty and may be written."""
    at = entry["Destination"]
    if entry["Type"] == "tmpfs" or any(PurePosixPath(at).is_relative_to(path) for path in settings.rehearsal_scratch):
        return mount(at, None, "tmpfs", writable=True)
    return mount(at, entry["Name"] if entry["Type"] == "volume" else entry["Source"], entry["Type"])


def neighbours(mount_point: str, settings: Settings) -> list[dict[str, Any]]:
    """Return the mounts of uploads and images, where the links of a version lead, for an image that knows none."""
    beside = Path(mount_point).parent
    places = (("uploads", settings.upload_dir), ("images", settings.image_dir))
    return [mount(str(beside / name), str(path)) for name, path in places if path is not None and path.is_dir()]


def exchanged_error() -> NotTriedError:
    """Return the error for a version whose place another tree has taken."""
    return NotTriedError("Something else was put in the place of the version while it was being tested.")
