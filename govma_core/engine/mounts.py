"""What running containers have mounted; docker is imported only where there is an engine to ask."""

from __future__ import annotations

from dataclasses import dataclass

from govma_core.engine.address import absent
from govma_core.language import tr

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
    from govma_core.engine.api import connected, told_as

    with connected(_QUICK, otherwise="") as client, told_as(tr("list its containers")):
        found = client.api.containers(filters={"status": ["running", "paused", "restarting"]})
    return [
        ContainerMounts(
            ", ".join(name.removeprefix("/") for name in container.get("Names") or [container["Id"][:12]]),
            tuple(mount["Source"] for mount in container.get("Mounts") or () if mount.get("Source")),
        )
        for container in found
    ]
