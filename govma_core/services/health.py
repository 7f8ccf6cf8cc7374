"""Whether a container does what it is for: before a restart touches it, and until a new one is good."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from govma_core.errors import EngineError
from govma_core.services.inspect import Container, inspected, read_container
from govma_core.text.language import tr

if TYPE_CHECKING:
    from docker import DockerClient

STEADY = 3.0
"""Seconds that a container without a health check has to run."""

LONG_STEADY = 10.0
"""Seconds: from then on the engine, too, takes an end for a new one, and not for one of a series."""

_TICK = 0.05


def keeps_restarting(container: Container) -> bool:
    """Tell whether a container was started again, and has not run for long since."""
    return container.running and container.restarts > 0 and time.time() - container.started < LONG_STEADY


def runs_well(container: Container) -> bool:
    """Tell whether a container does what it is for, as far as that is known before anything is done."""
    return container.running and container.health != "unhealthy" and not keeps_restarting(container)


def wait_until_good(
    client: DockerClient, service: str, container: str, timeout: float, *, ends: bool = False, steady: float = STEADY
) -> str:
    """Wait until a container is healthy, or has run for `steady` seconds without a health check, and say which.

    EngineError when it does not. `container` is its id, '' when there is none. With `ends` it may have done its work.
    """
    until = time.monotonic() + timeout
    life = (-1.0, 0)
    while True:
        description = inspected(client, container) if container else None
        current = read_container(description) if description else None
        if current and current.health == "healthy":
            return tr("healthy")
        if current and ends and current.state == "exited" and not current.exit_code:
            return tr("it did its work and ended")
        if current and current.health == "unhealthy":
            raise EngineError("{service} is unhealthy.", service=service)
        if current is None or current.state in ("exited", "dead"):
            state, code = (current.state, current.exit_code) if current else ("missing", "?")
            raise EngineError(
                "{service} does not run: {state} with exit code {value}.", service=service, state=state, value=code
            )
        former_life, life = life, (current.started, current.restarts)
        # How often it was started before we looked says nothing of now.
        if life != former_life and former_life[0] >= 0 and current.restarts > 1:
            raise EngineError(
                "{service} keeps restarting: exit code {value}.", service=service, value=current.exit_code
            )
        if not current.health and current.running and time.time() - current.started >= min(steady, timeout):
            return tr("it runs")
        if time.monotonic() > until:
            word = tr("healthy") if current.health else tr("steady")
            raise EngineError(
                "{service} was not {word} within {timeout:g} s (services.up_timeout).",
                service=service,
                word=word,
                timeout=timeout,
            )
        time.sleep(_TICK)
