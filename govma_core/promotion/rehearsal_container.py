"""The container that a version is tried in: what it is made of, and how it is like the live one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from govma_core.context import Context
from govma_core.engine.client import told_as
from govma_core.engine.containers import Inside, blanked, links, running, where
from govma_core.engine.throwaway import labels, mount, throwaway
from govma_core.errors import NotTriedError
from govma_core.promotion.rehearsal_copy import Stage
from govma_core.settings import Settings
from govma_core.text.language import tr

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

MOUNT_LABEL = "govma-console.mount"
"""Where in the container the candidate's versions directory is."""


@contextmanager
def container_for(client: DockerClient, context: Context, stage: Stage) -> Iterator[Container]:
    """Run a container with the staged version for the block, under the labels of this run."""
    settings, reporter = context.settings, context.reporter
    if settings.rehearsal_like:
        config, mount_point, networks = like(client, settings)
    else:
        mount_point, networks = settings.rehearsal_mount, {}
        config = {"Image": settings.rehearsal_image, "HostConfig": {"Mounts": neighbours(mount_point, settings)}}
    config["HostConfig"]["Mounts"] += [
        mount(f"{mount_point}/{inside}".rstrip("/"), str(source), writable=writable)
        for source, inside, writable in stage.mounts
    ]
    # What its programs may quote in errors is not for the log.
    reporter.hide(config.get("Env") or ())
    with told_as(tr("find the image {image}", image=config["Image"])):
        image_labels = client.images.get(config["Image"]).labels
    config["Labels"] = blanked(image_labels) | labels(settings.versions_dir, context.run_id)
    config["Labels"][MOUNT_LABEL] = mount_point
    # On this machine only, and on a port that is free.
    port = f"{settings.rehearsal_port}/tcp"
    config["ExposedPorts"] = (config.get("ExposedPorts") or {}) | {port: {}}
    config["HostConfig"]["PortBindings"] = {port: [{"HostIp": "127.0.0.1", "HostPort": ""}]}
    config["HostConfig"]["LogConfig"] = {"Type": "json-file", "Config": {"max-size": "1m"}}
    with throwaway(client, reporter, config["Image"], f"govma-rehearsal-{context.run_id}", config) as container:
        for network, endpoint in networks.items():
            with told_as(tr("connect the container to the network {network}", network=network)):
                client.networks.get(network).connect(container, **endpoint)
        if not stage.in_place():
            raise exchanged_error()
        with told_as(tr("start the container in which the version is tried")):
            container.start()
        yield container


def like(client: DockerClient, settings: Settings) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """Describe a container like the one that `rehearsal.like` names.

    Gives its configuration, where the container has the versions directory, and how it is connected to the networks
    besides its first. Everything of this machine that it has mounted is read-only, and it answers to none of the
    addresses and names under which its services find one another.
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
    own, others = _networks(container)
    config = _configuration(container, inside, settings) | {"NetworkingConfig": {"EndpointsConfig": own}}
    return config, inside.path, others


_NOT_TAKEN_OVER = (
    # What is mounted is read-only, by mounts of our own.
    *("Binds", "Mounts", "VolumesFrom"),
    # It must not answer in the other's place, nor outlive the rehearsal.
    *("PortBindings", "PublishAllPorts", "RestartPolicy", "AutoRemove", "LogConfig", "ContainerIDFile"),
)
"""What of a container's HostConfig one like it has otherwise; all else is as it is there."""


def _configuration(container: Container, inside: Inside, settings: Settings) -> dict[str, Any]:
    """Return the configuration for a container like another, as the engine takes it."""
    attrs = container.attrs
    config = dict(attrs["Config"])
    host = {name: value for name, value in attrs["HostConfig"].items() if name not in _NOT_TAKEN_OVER}
    # A mount of a directory above stays, and the candidate's comes over it.
    versions = inside.mount if inside.mount["Destination"] == inside.path else None
    tmpfs = {entry["Target"]: entry for entry in attrs["HostConfig"].get("Mounts") or () if entry["Type"] == "tmpfs"}
    mounts = [
        _mounted_again(entry, tmpfs, settings)
        for entry in attrs["Mounts"]
        if entry != versions and entry["Destination"] not in (host.get("Tmpfs") or ())
    ]
    host |= {"Mounts": mounts, "Links": _as_told(host.get("Links"))}
    if config.get("Hostname") == str(container.id)[:12]:
        config["Hostname"] = ""
    config.pop("MacAddress", None)
    return config | {"Image": str(attrs["Image"]), "HostConfig": host}


def _networks(container: Container) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return how a container is connected to its own network, as the engine takes it, and to the others, as docker-py.

    It is made in its own, and connected to the others afterwards. Of the default one nothing has to be told.
    """
    mode = container.attrs["HostConfig"].get("NetworkMode")
    own: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for name, endpoint in (container.attrs["NetworkSettings"]["Networks"] or {}).items():
        linked, options = endpoint.get("Links"), endpoint.get("DriverOpts")
        if mode in (name, endpoint["NetworkID"]):
            own[name] = {"Links": _as_told(linked), "DriverOpts": options}
        elif (mode, name) != ("default", "bridge"):
            others[name] = {"links": links(linked), "driver_opt": options}
    return own, others


def _as_told(entries: Iterable[str] | None) -> list[str] | None:
    return [f"{name}:{alias}" for name, alias in links(entries)] or None


def _mounted_again(entry: dict[str, Any], tmpfs: Mapping[str, dict[str, Any]], settings: Settings) -> dict[str, Any]:
    """Return what is mounted in a container once more, read-only; what need not last is empty and may be written."""
    at = entry["Destination"]
    if at in tmpfs:
        return tmpfs[at]
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
