"""The containers that serve the site: found by the engine before the switch, reloaded and watched after it."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from govma_core.engine import exec
from govma_core.engine.client import connected, failures, streaming, told_as
from govma_core.engine.containers import addresses, running, workers
from govma_core.errors import EngineError
from govma_core.process.shell import TICK
from govma_core.promotion.web_page import Address
from govma_core.reporting import Reporter
from govma_core.settings import Settings
from govma_core.text.clean import LineSplitter
from govma_core.text.language import tr

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

_QUICK = 5
_MOST_LINES = 200


@dataclass(frozen=True, slots=True)
class Server:
    """A container that serves the site, where it is asked (None: nowhere), and the workers it had before the switch."""

    id: str
    name: str
    address: Address | None
    workers: frozenset[str]

    def reload(self, settings: Settings, reporter: Reporter) -> list[str]:
        """Run activation.reload in the container; give a sentence when it fails, or does not end in time."""
        try:
            with connected(settings.activation_timeout, otherwise="") as client:
                return _run(client, self, settings.activation_reload, settings.activation_timeout, reporter)
        except EngineError as error:
            return [str(error)]

    def remaining_workers(self) -> int:
        """Count the workers of before the switch that are still there: each ends when its connection does."""
        if not self.workers:
            return 0
        try:
            with connected(_QUICK, otherwise="") as client:
                with told_as(tr("look at {name}", name=self.name)):
                    container = client.containers.get(self.id)
                return len(self.workers & workers(container))
        except EngineError:
            return 0


def find(settings: Settings) -> tuple[list[Server], list[str]]:
    """Look for the containers that the settings name; give them, and a sentence for each that is missing.

    Nothing is raised: a rollback has to go on.
    """
    servers: list[Server] = []
    problems: list[str] = []
    try:
        with connected(_QUICK, otherwise="") as client:
            for name in settings.activation_containers:
                try:
                    containers = running(client, name, settings.versions_dir)
                except EngineError as error:
                    problems.append(str(error))
                    continue
                servers += [_server(container, settings) for container in containers]
                if not containers:
                    problems.append(
                        tr(
                            "No running container is {name!r} (activation.containers), or the service of one that "
                            "has {versions_dir} mounted.",
                            name=name,
                            versions_dir=settings.versions_dir,
                        )
                    )
    except EngineError as error:
        problems.append(str(error))
    if not settings.activation_url:
        problems += [
            tr("{name} has no address of its own to be asked at: set activation.url.", name=server.name)
            for server in servers
            if server.address is None
        ]
    return servers, problems


def _server(container: Container, settings: Settings) -> Server:
    name, at = str(container.name), next(iter(addresses(container)), None)
    address = Address(at, settings.activation_port, host=settings.activation_host, label=name) if at else None
    return Server(str(container.id), name, address, frozenset(workers(container)))


def _run(client: DockerClient, server: Server, command: str, limit: int, reporter: Reporter) -> list[str]:
    what = tr("`{command}` in {name}", command=command, name=server.name)
    output: deque[str] = deque(maxlen=_MOST_LINES)
    splitter = LineSplitter()
    with told_as(tr("run {what}", what=what)):
        execution = exec.prepare(client, server.id, ["sh", "-c", command])

    def listen() -> None:
        try:
            for _, piece in exec.output(client, execution):
                output.extend(splitter.feed(piece))
        except failures(ValueError, AttributeError):
            # Closed under our hands, or gone: how it ended is asked below.
            return

    # The SDK waits for output without a limit.
    listening = threading.Thread(target=listen, daemon=True)
    with streaming(client):
        listening.start()
        listening.join(limit)
    output.extend(splitter.close())
    reporter.output(*output)
    ends = time.monotonic() + 1
    while True:
        with told_as(tr("look how {what} ended", what=what)):
            code = exec.exit_code(client, execution)
        if code is not None or time.monotonic() > ends or listening.is_alive():
            break
        time.sleep(TICK / 5)
    if code is None:
        return [tr("{what} did not end within {limit} s.", what=what, limit=limit)]
    return [tr("{what} ended with exit code {code}.", what=what, code=code)] if code else []
