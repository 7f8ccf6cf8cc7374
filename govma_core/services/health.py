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

_TICK = 0.05


def runs_well(container: Container) -> bool:
    """Tell whether a container does what it is for, as far as that is known before anything is done."""
    again_and_again = container.restarts and time.time() - container.started < STEADY
    return container.running and container.health != "unhealthy" and not again_and_again


def wait_until_good(client: DockerClient, service: str, container: str, timeout: float, *, ends: bool = False) -> str:
    """Wait until a container is healthy, or runs steadily without a health check, and say which.

    EngineError when it does not. `container` is its id, '' when there is none. With `ends` it may have done its work.
    """
    until = time.monotonic() + timeout
    steady_from, life = 0.0, (-1.0, 0)
    while True:
        description = inspected(client, container) if container else None
        now, current = time.monotonic(), read_container(description) if description else None
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
        if life != former_life or not current.running:
            steady_from = now
            # How often it was started before we looked says nothing of now.
            if former_life[0] >= 0 and current.restarts > 1:
                raise EngineError(
                    "{service} keeps restarting: exit code {value}.", service=service, value=current.exit_code
                )
        if not current.health and current.running and now - steady_from >= min(STEADY, timeout):
            return tr("it runs")
        if now > until:
            word = tr("healthy") if current.health else tr("steady")
            raise EngineError(
                "{service} was not {word} within {timeout:g} s (services.up_timeout).",
                service=service,
                word=word,
                timeout=timeout,
            )
        time.sleep(_TICK)
