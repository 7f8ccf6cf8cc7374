"""Who serves the site: the containers that have to be reloaded, and the addresses at which it is asked."""

from __future__ import annotations

from dataclasses import dataclass, field

from govma_core.errors import EngineError
from govma_core.live.pages import Address
from govma_core.reporting import Reporter
from govma_core.settings import Settings
from govma_core.text import LineSplitter


@dataclass(frozen=True, slots=True)
class Targets:
    """The names of the containers by their ids, where to ask, and sentences about what could not be found."""

    containers: dict[str, str] = field(default_factory=dict)
    addresses: tuple[Address, ...] = ()
    problems: tuple[str, ...] = ()


def find(settings: Settings) -> Targets:
    """Look for what the settings name; what is missing is told, not raised: being able to roll back matters more."""
    host = settings.activation_host
    url = (Address.of_url(settings.activation_url, host),) if settings.activation_url else ()
    if not settings.activation_containers:
        return Targets(addresses=url)
    from govma_core.engine.api import connected, told_as
    from govma_core.engine.containers import addresses, running

    names: dict[str, str] = {}
    found: list[Address] = []
    problems = []
    try:
        with connected(_QUICK, otherwise="") as client:
            for name in settings.activation_containers:
                containers = running(client, name, settings.versions_dir)
                if not containers:
                    problems.append(f"No running container is {name!r} (activation.containers).")
                for container in containers:
                    with told_as(f"look at {container.name}"):
                        container.reload()
                    names[str(container.id)] = str(container.name)
                    found += [Address(at, settings.activation_port, host=host) for at in addresses(container)[:1]]
    except EngineError as error:
        problems.append(str(error))
    return Targets(names, url or tuple(found), tuple(problems))


def reload(targets: Targets, settings: Settings, reporter: Reporter) -> list[str]:
    """Run activation.reload in each container; give a sentence for each in which it failed."""
    if not targets.containers or not settings.activation_reload:
        return []
    from govma_core.engine.api import connected, told_as

    problems = []
    try:
        with connected(settings.activation_timeout, otherwise="") as client:
            for container, name in targets.containers.items():
                with told_as(f"run `{settings.activation_reload}` in {name}"):
                    command = ["sh", "-c", settings.activation_reload]
                    made = client.api.exec_create(container, command, user="root")
                    said = client.api.exec_start(made["Id"])
                    code = client.api.exec_inspect(made["Id"])["ExitCode"]
                splitter = LineSplitter()
                reporter.output(*splitter.feed(said), *splitter.close())
                if code:
                    problems.append(f"`{settings.activation_reload}` in {name} ended with exit code {code}.")
    except EngineError as error:
        problems.append(str(error))
    return problems


_QUICK = 5
