"""The web servers: the containers that have to be reloaded, and the addresses at which the site is asked."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from govma_core.errors import EngineError
from govma_core.process.shell import TICK
from govma_core.promotion.page_checks import Address
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
    """A container that serves the site: its id, its name, and the workers it had before the switch."""

    id: str
    name: str
    workers: frozenset[str]


@dataclass(frozen=True, slots=True)
class Targets:
    """The containers, where to ask, and sentences about what could not be found."""

    containers: tuple[Server, ...] = ()
    addresses: tuple[Address, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(slots=True)
class _Search:
    containers: list[Server] = field(default_factory=list)
    addresses: list[Address] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def find(settings: Settings) -> Targets:
    """Look for what the settings name; what is missing is reported, not raised: a rollback has to go on."""
    host = settings.activation_host
    url = (Address.of_url(settings.activation_url, host),) if settings.activation_url else ()
    if not settings.activation_containers:
        return Targets(addresses=url)
    from govma_core.engine.client import connected

    search = _Search()
    try:
        with connected(_QUICK, otherwise="") as client:
            for name in settings.activation_containers:
                try:
                    _look(client, name, settings, search, each_by_itself=not url)
                except EngineError as error:
                    search.problems.append(str(error))
    except EngineError as error:
        search.problems.append(str(error))
    return Targets(tuple(search.containers), url or tuple(search.addresses), tuple(search.problems))


def _look(client: DockerClient, name: str, settings: Settings, search: _Search, *, each_by_itself: bool) -> None:
    """Add the containers of a name to the search; `each_by_itself`: each of them has to be asked at its own address."""
    from govma_core.engine.containers import addresses, running, workers

    containers = running(client, name, settings.versions_dir)
    if not containers:
        search.problems.append(
            tr(
                "No running container is {name!r} (activation.containers), or the service of one that "
                "has {versions_dir} mounted.",
                name=name,
                versions_dir=settings.versions_dir,
            )
        )
    for container in containers:
        search.containers.append(Server(str(container.id), str(container.name), frozenset(workers(container))))
        at = next(iter(addresses(container)), None)
        if at is not None:
            label = str(container.name)
            search.addresses.append(Address(at, settings.activation_port, host=settings.activation_host, label=label))
        elif each_by_itself:
            search.problems.append(
                tr("{name} has no address of its own to be asked at: set activation.url.", name=container.name)
            )


def reload(targets: Targets, settings: Settings, reporter: Reporter) -> list[str]:
    """Run activation.reload in each container; give a sentence for each in which it failed, or did not end in time."""
    if not targets.containers or not settings.activation_reload:
        return []
    from govma_core.engine.client import connected

    problems = []
    for server in targets.containers:
        try:
            with connected(settings.activation_timeout, otherwise="") as client:
                problems += _reload(client, server, settings, reporter)
        except EngineError as error:
            problems.append(str(error))
    return problems


def _reload(client: DockerClient, server: Server, settings: Settings, reporter: Reporter) -> list[str]:
    from govma_core.engine import exec
    from govma_core.engine.client import FAILURES, streaming, told_as

    command, limit = settings.activation_reload, settings.activation_timeout
    what = tr("`{command}` in {name}", command=command, name=server.name)
    output: deque[str] = deque(maxlen=_MOST_LINES)
    splitter = LineSplitter()
    with told_as(tr("run {what}", what=what)):
        execution = exec.prepare(client, server.id, ["sh", "-c", command])

    def listen() -> None:
        try:
            for _, piece in exec.output(client, execution):
                output.extend(splitter.feed(piece))
        except (*FAILURES, ValueError, AttributeError):
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


def left_over(targets: Targets) -> int:
    """Return how many workers of before the switch are still there: they end when the connection they have does."""
    if not any(server.workers for server in targets.containers):
        return 0
    from govma_core.engine.client import connected, told_as
    from govma_core.engine.containers import workers

    count = 0
    try:
        with connected(_QUICK, otherwise="") as client:
            for server in targets.containers:
                with told_as(tr("look at {name}", name=server.name)):
                    container: Container = client.containers.get(server.id)
                count += len(server.workers & workers(container))
    except EngineError:
        return 0
    return count
