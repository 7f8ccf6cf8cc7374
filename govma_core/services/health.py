"""Whether a container does what it is for: before a restart touches it, and until a new one is good."""

from __future__ import annotations

import time
from typing import Any

from docker import DockerClient

from govma_core.errors import EngineError
from govma_core.services.inspect import Container, inspected
from govma_core.text.language import tr

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
    steady_from, life = 0.0, ("", 0)
    while True:
        description = inspected(client, container) if container else None
        now = time.monotonic()
        state: dict[str, Any] = description["State"] if description else {"Status": "missing"}
        health = (state.get("Health") or {}).get("Status", "none")
        if health == "healthy":
            return tr("healthy")
        if ends and state["Status"] == "exited" and state.get("ExitCode") == 0:
            return tr("it did its work and ended")
        former_life, life = life, (str(state.get("StartedAt")), int(description["RestartCount"]) if description else 0)
        is_new_life = life != former_life or state["Status"] != "running"
        # How often it was started before we looked says nothing of now.
        _require_alive(service, state, health, life[1] if former_life[0] and is_new_life else 0)
        if is_new_life:
            steady_from = now
        if health == "none" and state["Status"] == "running" and now - steady_from >= min(STEADY, timeout):
            return tr("it runs")
        if now > until:
            word = tr("healthy") if health != "none" else tr("steady")
            raise EngineError(
                "{service} was not {word} within {timeout:g} s (services.up_timeout).",
                service=service,
                word=word,
                timeout=timeout,
            )
        time.sleep(_TICK)


def _require_alive(service: str, state: dict[str, Any], health: str, restarts: int) -> None:
    """Raise EngineError when a container is beyond waiting for: unhealthy, ended, or started again and again."""
    code = state.get("ExitCode", "?")
    if health == "unhealthy":
        raise EngineError("{service} is unhealthy.", service=service)
    if state["Status"] in ("exited", "dead", "missing"):
        raise EngineError(
            "{service} does not run: {state} with exit code {value}.",
            service=service,
            state=state["Status"],
            value=code,
        )
    if restarts > 1:
        raise EngineError("{service} keeps restarting: exit code {value}.", service=service, value=code)
