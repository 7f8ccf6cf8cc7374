"""Where the versions and the uploads are mounted in the containers, against what the site's layout needs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from govma_core.language import tr
from govma_core.services.wanted import WantedProject
from govma_core.settings import Settings

if TYPE_CHECKING:
    # Docker is imported there: here only its answers are compared.
    from govma_core.services.running import Container, Seen

_HTTP = ("80/tcp", "8080/tcp", "443/tcp")


def unserved(wanted: WantedProject, seen: Seen, settings: Settings) -> bool:
    """Tell whether there is a web server among the services, and no container has the versions."""
    if not any(inside in _HTTP for service in wanted.services.values() for *_, inside in service.ports):
        return False
    versions = real(str(settings.versions_dir))
    binds = [real(mount.source) for each in seen.containers for mount in each.mounts if mount.kind == "bind"]
    # Of a single version it is said elsewhere that it is one.
    has = any(versions.is_relative_to(source) or source.is_relative_to(versions) for source in binds)
    return bool(seen.containers) and not has


def places(container: Container, settings: Settings) -> Iterator[str]:
    """Say what is wrong with where the versions and the uploads are mounted in a container."""
    # The name counts beside what it leads to: the link current-version leads elsewhere after each switch.
    named, versions = settings.versions_dir, real(str(settings.versions_dir))
    whole = None
    for mount in container.mounts:
        if mount.kind != "bind":
            continue
        source = real(mount.source)
        if source == versions:
            whole = mount
        elif any(_below(path, place) for path in (source, Path(mount.source)) for place in (versions, named)):
            yield (
                tr(
                    "{target} is one version, not versions_dir: it is served whatever current-version points to. "
                    "Mount versions_dir itself",
                    target=mount.target,
                )
            )
    if whole is None:
        return
    # The link in a version is html/uploads -> ../../../uploads: beside the place where all versions are.
    beside = Path(whole.target).parent
    for name, directory in (("uploads", settings.upload_dir), ("images", settings.image_dir)):
        if directory is None or not directory.is_dir():
            continue
        at = str(beside / name)
        there = next((mount for mount in container.mounts if mount.target == at), None)
        key = "upload_dir" if name == "uploads" else "image_dir"
        if there is None:
            yield tr(
                "{key} is not mounted at {at}, where the link {name} of every version leads", key=key, at=at, name=name
            )
        elif real(there.source) != real(str(directory)):
            yield tr("{at}, where the link {name} of every version leads, is not {key}", at=at, name=name, key=key)


def _below(path: Path, directory: Path) -> bool:
    return path != directory and path.is_relative_to(directory)


def real(path: str) -> Path:
    """Return where a path leads, as far as it is there."""
    return Path(os.path.realpath(path))
