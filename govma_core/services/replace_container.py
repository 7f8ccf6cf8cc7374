"""One container for another: the new one is made beside the former one, which stays until the new one is good.

Between the end of the former and the start of the new container nothing is made, pulled or removed: that is all of the
downtime there is. And when the new one is not good, the very container that ran before is started again.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from docker import DockerClient
from docker.errors import NotFound

from govma_core.engine.client import FAILURES, reason, told_as
from govma_core.errors import EngineError
from govma_core.fs import jsonfile
from govma_core.reporting import Reporter
from govma_core.services.compose import Project, execute
from govma_core.services.compose_config import Wanted
from govma_core.services.inspect import PROJECT, SERVICE, Container, inspected, read_container
from govma_core.text.language import tr


@dataclass
class Change:
    """One service's exchange. `former` is the container that ran, '' when there was none; `name` its name.

    `beside`: the new container `new` ('' while it is being made) is made beside it. Else compose itself recreates the
    container, and the former one is gone then.
    """

    service: str
    former: str = ""
    name: str = ""
    beside: bool = False
    new: str = ""
    touched: bool = False
    """True from the moment on at which the former container may be stopped."""
    well: bool = True
    """False when what was before did not run well either: then it need not run well when it is back."""


@dataclass
class Journal:
    """One restart: images by tag before it, the commit of the project before it ('' when it was not moved)."""

    path: Path
    run: str
    project: str
    head: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    done: bool = False
    """True once the new containers are good: what is left to do is to remove the former ones."""

    def write(self) -> None:
        """Put it on the disk."""
        data = {name: value for name, value in dataclasses.asdict(self).items() if name != "path"}
        jsonfile.replace(self.path, data, mode=0o600)

    def clear(self) -> None:
        """Remove it: all is as it was, or as it should be."""
        self.path.unlink(missing_ok=True)


def path_of(state_dir: Path) -> Path:
    """Return the place of the journal."""
    return state_dir / "services-restart.json"


def read_journal(state_dir: Path) -> Journal | None:
    """Return what an interrupted restart left; None when nothing is under way."""
    path = path_of(state_dir)
    data: dict[str, Any] | None = jsonfile.read(path)
    if data is None:
        return None
    try:
        changes = [Change(**change) for change in data.pop("changes")]
        return Journal(path, changes=changes, **data)
    except (KeyError, TypeError):
        return None


STEADY = 3.0
"""Seconds that a container without a health check has to run."""

_TICK = 0.05
_STOP = 10
"""Seconds that the engine gives a container to stop when nothing is said of it."""
_PATIENCE = 600.0
_NETWORK_KEYS = {"aliases", "ipv4_address", "ipv6_address", "priority"}


def can_be_beside(wanted: Wanted, there: tuple[Container, ...]) -> bool:
    """Tell whether a second container of a service can be made beside the first, to take its place later."""
    return (
        len(there) == 1
        and there[0].running
        # A volume without a name goes from container to container only when compose itself recreates it.
        and not there[0].anonymous
        and not wanted.fixed_name
        and wanted.replicas == 1
        and wanted.networks is not None
        and all(set(config) <= _NETWORK_KEYS for config in wanted.networks.values())
    )


def runs_well(container: Container) -> bool:
    """Tell whether a container does what it is for, as far as that is known before anything is done."""
    again_and_again = container.restarts and time.time() - container.started < STEADY
    return container.running and container.health != "unhealthy" and not again_and_again


def make_beside(client: DockerClient, project: Project, wanted: Wanted, reporter: Reporter) -> str:
    """Have compose make a second container, not started; give its id. Without a doubt which one it is: EngineError."""
    before = ids(client, project.name, wanted.name)
    options = ("--no-start", "--no-recreate", "--no-build", "--no-deps", "--scale", f"{wanted.name}=2")
    execute(project, ["up", *options, wanted.name], reporter, _PATIENCE)
    made = ids(client, project.name, wanted.name) - before
    if len(made) != 1:
        raise EngineError(
            tr("compose made {count} containers of {name} where one was asked for.", count=len(made), name=wanted.name)
        )
    new = made.pop()
    with told_as(tr("connect the new container of {name} to its networks", name=wanted.name)):
        _connect(client, wanted, new)
    return new


def _connect(client: DockerClient, wanted: Wanted, container: str) -> None:
    """Connect a container that was not started to all its networks; compose version 1 leaves that to its own start."""
    raw = client.api.inspect_container(container)
    for name, config in (wanted.networks or {}).items():
        if name in raw["NetworkSettings"]["Networks"]:
            continue
        aliases = [wanted.name, container[:12], *(config.get("aliases") or ())]
        addresses = {key: config[key] for key in ("ipv4_address", "ipv6_address") if config.get(key)}
        client.api.connect_container_to_network(container, name, aliases=aliases, **addresses)


def discarded_if_equal(client: DockerClient, former: Container, new: str) -> bool:
    """Remove the new container where it would be what the former is already; tell whether that is so."""
    raw = inspected(client, new)
    if raw is None:
        return False
    made = read_container(raw)
    if (made.config_hash, made.image_id) != (former.config_hash, former.image_id) or not former.config_hash:
        return False
    with told_as(tr("remove the container that is not needed")), suppress(NotFound):
        client.api.remove_container(new, force=True)
    return True


def exchange(client: DockerClient, change: Change) -> None:
    """Stop the former container, start the new one."""
    raw = inspected(client, change.former)
    # The engine is waited for as long as the container may take to stop, and not less.
    configured = raw["Config"].get("StopTimeout") if raw else None
    grace = _STOP if configured is None else int(configured)
    with told_as(tr("stop the container {name}", name=change.name)), suppress(NotFound):
        client.api.stop(change.former, timeout=grace)
    with told_as(tr("start the new container of {service}", service=change.service)):
        client.api.start(change.new)


def wait_until_good(
    client: DockerClient, service: str, find: Callable[[], str], timeout: float, *, ends: bool = False
) -> str:
    """Wait until a container is healthy, or runs steadily without a health check, and say which.

    EngineError when it does not. `find` gives its id, '' while there is none. With `ends` it may have done its work.
    """
    until = time.monotonic() + timeout
    steady_from, seen = 0.0, ("", "", 0)
    while True:
        container = find()
        raw = inspected(client, container) if container else None
        now = time.monotonic()
        state: dict[str, Any] = raw["State"] if raw else {"Status": "missing"}
        health = (state.get("Health") or {}).get("Status", "none")
        if health == "healthy":
            return tr("healthy")
        if health == "unhealthy":
            raise EngineError(tr("{service} is unhealthy.", service=service))
        if ends and state["Status"] == "exited" and state.get("ExitCode") == 0:
            return tr("it did its work and ended")
        if state["Status"] in ("exited", "dead", "missing"):
            raise EngineError(
                tr(
                    "{service} does not run: {state} with exit code {value}.",
                    service=service,
                    state=state["Status"],
                    value=state.get("ExitCode", "?"),
                )
            )
        life = (container, str(state.get("StartedAt")), int(raw["RestartCount"]) if raw else 0)
        if life != seen or state["Status"] != "running":
            if seen[0] and life[2] > 1:
                raise EngineError(
                    tr(
                        "{service} keeps restarting: exit code {value}.",
                        service=service,
                        value=state.get("ExitCode", "?"),
                    )
                )
            seen, steady_from = life, now
        if health == "none" and state["Status"] == "running" and now - steady_from >= min(STEADY, timeout):
            return tr("it runs")
        if now > until:
            word = tr("healthy") if health != "none" else tr("steady")
            raise EngineError(
                tr(
                    "{service} was not {word} within {timeout:g} s (services.up_timeout).",
                    service=service,
                    word=word,
                    timeout=timeout,
                )
            )
        time.sleep(_TICK)


def remove_former(client: DockerClient, journal: Journal, reporter: Reporter) -> None:
    """Remove the containers that were replaced, and give the new ones their names."""
    for change in journal.changes:
        if not change.new or not change.former:
            continue
        try:
            with suppress(NotFound):
                client.api.remove_container(change.former, force=True)
            client.api.rename(change.new, change.name)
        except FAILURES as error:
            reporter.warning(
                tr(
                    "{service}: the former container could not be cleared away: {reason}.",
                    service=change.service,
                    reason=reason(error),
                )
            )


def ids(client: DockerClient, project: str, service: str) -> set[str]:
    """Return the containers of a service."""
    with told_as(tr("list its containers")):
        labels = [f"{PROJECT}={project}", f"{SERVICE}={service}"]
        return {entry["Id"] for entry in client.api.containers(all=True, filters={"label": labels})}
