"""Throwaway containers: made for one purpose, labelled with whose they are, and nothing of them stays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from govma_core.engine.client import connected, failures, not_found, reason, told_as
from govma_core.reporting import Reporter
from govma_core.text.language import tr

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

SITE_LABEL = "govma-console.site"
RUN_LABEL = "govma-console.run"


def labels(versions_dir: Path, run_id: str) -> dict[str, str]:
    """Return the labels of a throwaway container: the site it works for, and the run that made it."""
    return {SITE_LABEL: str(versions_dir), RUN_LABEL: run_id}


def mount(at: str, source: str | None, kind: str = "bind", *, writable: bool = False) -> dict[str, Any]:
    """Return what is mounted `at` a path of a container, as the engine takes it; a volume is not filled there."""
    options = {"VolumeOptions": {"NoCopy": True}} if kind == "volume" else {}
    return {"Type": kind, "Source": source, "Target": at, "ReadOnly": not writable} | options


def remove_leftovers(versions_dir: Path, reporter: Reporter) -> None:
    """Kill and remove every container that carries this site's label. Only under the lock."""
    with connected() as client:
        with told_as(tr("list its containers")):
            leftovers = client.containers.list(
                all=True, ignore_removed=True, filters={"label": f"{SITE_LABEL}={versions_dir}"}
            )
        for container in leftovers:
            run = container.labels.get(RUN_LABEL, "?")
            with told_as(tr("remove the container {name}, left by run {run}", name=container.name, run=run)):
                remove(container)
            reporter.warning("Removed the container {name}, which run {run} left behind.", name=container.name, run=run)


@contextmanager
def throwaway(
    client: DockerClient,
    reporter: Reporter,
    image: str,
    name: str | None = None,
    configuration: dict[str, Any] | None = None,
    **options: Any,  # noqa: ANN401
) -> Iterator[Container]:
    """Yield a new container that was not started yet; killed and removed at the end, whatever happened.

    It is as the options of docker-py say, or as a whole configuration does that the engine understands.
    """
    with told_as(tr("make a container of the image {image}", image=image)):
        if configuration is None:
            container = client.containers.create(image, name=name, **options)
        else:
            answer = client.api.create_container_from_config(configuration, name)  # type: ignore[no-untyped-call]
            container = client.containers.get(answer["Id"])
    try:
        yield container
    finally:
        try:
            remove(container)
        except failures() as error:
            # Whatever is going on is told by the error on its way; the labels let the next run find the container.
            reporter.warning(
                "The container {name} could not be removed ({reason}); the next deploy tries again.",
                name=container.name,
                reason=reason(error),
            )


def remove(container: Container) -> None:
    """Kill and remove a container and its anonymous volumes, unless it is gone already."""
    try:
        container.remove(force=True, v=True)
    except not_found():
        return
