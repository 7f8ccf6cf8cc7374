"""Former containers: what it takes to make one again is kept in the engine until the restart is over.

The engine's description of a container holds the values of `.env`, which no file of ours may have. So it is kept as the
environment of a container that is never started, made of the same image, which thereby outlives a prune of images.
The image has a name of ours, too: in containerd's store one whose only name goes to a new build is gone.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from govma_core.engine.client import failures, not_found
from govma_core.engine.containers import blanked, links
from govma_core.services.inspect import inspected

if TYPE_CHECKING:
    from docker import DockerClient

_LABEL = "govma-console.former"
_DESCRIPTION = "GOVMA_CONSOLE_FORMER="
_IMAGES = "govma-former"
_ID_LENGTH = 12
_CONTAINER_MODE = "container:"


def keep_image(client: DockerClient, project: str, image: str) -> None:
    """Give an image of a project a name of ours, by its id; nothing is kept where it is gone."""
    with suppress(not_found()):
        client.api.tag(image, _IMAGES, f"{image.removeprefix('sha256:')[:_ID_LENGTH]}-{project}")


def keep_description(client: DockerClient, project: str, container: str) -> None:
    """Keep what the engine says of a container, and its image; nothing is kept where one of them is gone."""
    description = inspected(client, container)
    if description is None:
        return
    config = {
        "Image": description["Image"],
        "Env": [_DESCRIPTION + json.dumps(description)],
        "Cmd": ["true"],
        "Labels": blanked(description["Config"].get("Labels") or ()) | {_LABEL: project},
        "HostConfig": {"NetworkMode": "none"},
    }
    _remove(client, _name(container))
    with suppress(not_found()):
        client.api.create_container_from_config(config, _name(container))  # type: ignore[no-untyped-call]


def kept_description(client: DockerClient, container: str) -> dict[str, Any] | None:
    """Return what was kept of a container; None when nothing was, or it was removed."""
    keeper = inspected(client, _name(container)) or {"Config": {"Env": ()}}
    texts = [entry for entry in keeper["Config"]["Env"] if entry.startswith(_DESCRIPTION)]
    return json.loads(texts[0].removeprefix(_DESCRIPTION)) if texts else None


def forget_all(client: DockerClient, project: str) -> None:
    """Remove all that is kept of a project's containers; what resists is removed after the next restart."""
    with suppress(*failures()):
        for entry in client.api.containers(all=True, filters={"label": f"{_LABEL}={project}"}):
            _remove(client, entry["Id"])
        names = [name for image in client.api.images(_IMAGES) for name in image["RepoTags"] or ()]
        for name in names:
            if name[len(_IMAGES) + 1 + _ID_LENGTH :] == f"-{project}":
                # One that a container still has may resist, and keeps nothing of the others.
                with suppress(*failures()):
                    client.api.remove_image(name, noprune=True)


def make_again(client: DockerClient, description: Mapping[str, Any], replicas: Mapping[str, str]) -> str:
    """Make a container from what the engine said of one, not started and under another name; return its id.

    `replicas` are those made so far, by the ids of what they stand for: one may share the network of another.
    """
    former = str(description["Id"])
    config, host = dict(description["Config"]), _host_config(description)
    mode = str(host.get("NetworkMode") or "default")
    if mode.startswith(_CONTAINER_MODE):
        other = mode.removeprefix(_CONTAINER_MODE)
        host["NetworkMode"] = _CONTAINER_MODE + replicas.get(other, other)
        # These are the other container's, and the engine refuses them here.
        config |= {"Hostname": "", "ExposedPorts": None}
    elif config.get("Hostname") == former[:12]:
        config["Hostname"] = ""
    image: Mapping[str, Any] = {}
    with suppress(not_found()):
        image = client.api.inspect_image(config["Image"])  # type: ignore[no-untyped-call]
    if image.get("Id") != description["Image"]:
        # Its name means another one by now.
        config["Image"] = description["Image"]
    networks = {
        name: _endpoint(endpoint, former)
        for name, endpoint in description["NetworkSettings"]["Networks"].items()
        # Called like networks, and without settings.
        if name not in ("host", "none", "bridge")
    }
    # Before API 1.44 a container is made in one network, and connected to the others afterwards.
    first = {name: networks.pop(name) for name in tuple(networks) if mode in (name, networks[name]["NetworkID"])}
    config |= {"HostConfig": host, "NetworkingConfig": {"EndpointsConfig": first}}
    replica_name = f"{secrets.token_hex(6)}_{description['Name'].removeprefix('/')}"
    replica: str = client.api.create_container_from_config(config, replica_name)["Id"]  # type: ignore[no-untyped-call]
    try:
        for name, endpoint in networks.items():
            addresses = endpoint["IPAMConfig"]
            client.api.connect_container_to_network(
                replica,
                name,
                aliases=endpoint["Aliases"],
                links=links(endpoint["Links"]),
                ipv4_address=addresses.get("IPv4Address"),
                ipv6_address=addresses.get("IPv6Address"),
            )
    except BaseException:
        _remove(client, replica)
        raise
    return replica


def _host_config(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings on this machine, with the volumes that have no name: a new container would get others."""
    host = dict(description["HostConfig"])
    mounts = [mount for mount in host.get("Mounts") or () if mount.get("Source") or mount.get("Type") != "volume"]
    # Without a colon it is a volume that has no name.
    binds = [bind for bind in host.get("Binds") or () if ":" in bind]
    targets = {bind.split(":")[1].rstrip("/") for bind in binds} | {mount["Target"].rstrip("/") for mount in mounts}
    for mount in description.get("Mounts") or ():
        if mount.get("Type") == "volume" and mount["Destination"].rstrip("/") not in targets:
            binds.append(f"{mount['Name']}:{mount['Destination']}:{'rw' if mount.get('RW', True) else 'ro'}")
    return host | {"Binds": binds, "Mounts": mounts}


def _endpoint(endpoint: Mapping[str, Any], former: str) -> dict[str, Any]:
    aliases = [alias for alias in endpoint.get("Aliases") or () if alias != former[:12]]
    parts = {"NetworkID": endpoint.get("NetworkID") or "", "IPAMConfig": endpoint.get("IPAMConfig") or {}}
    return parts | {"Aliases": aliases, "Links": endpoint.get("Links")}


def _name(container: str) -> str:
    return f"govma-former-{container[:_ID_LENGTH]}"


def _remove(client: DockerClient, container: str) -> None:
    with suppress(not_found()):
        client.api.remove_container(container, force=True, v=True)
