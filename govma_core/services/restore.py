"""What a restart of containers writes down in state_dir, and how it is undone: by itself, or by the next after a kill.

The former containers run again, the names of images mean what they meant, prod-env is at its commit. Neither compose
nor its files have a part in it, since these are what failed. A former container that is still there is started again.
One that compose removed is made again by the engine from its description, of the image that it had (see former).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from docker import DockerClient
from docker.errors import NotFound

from govma_core.engine.client import FAILURES, reason
from govma_core.errors import GovmaError
from govma_core.fs import jsonfile
from govma_core.reporting import Reporter
from govma_core.services.former import kept_description, make_again
from govma_core.services.health import wait_until_good
from govma_core.services.inspect import ids, inspected
from govma_core.services.source_drift import opened
from govma_core.settings import Settings
from govma_core.text.language import tr

_SHORT_STOP = 2
"""Seconds that a container which is not good gets to stop."""


@dataclass
class Change:
    """One container that a restart replaces: its id and name, both '' where a service had none."""

    service: str
    former: str = ""
    name: str = ""
    touched: bool = False
    """True from the moment on at which compose may stop the container."""
    well: bool = True
    """False when the container did not run well before: then it need not run well when it is back."""


@dataclass
class Journal:
    """One restart: images by tag before it, the commit of prod-env before it ('' when it was not moved)."""

    path: Path
    run: str
    project: str
    head: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    done: bool = False
    """True once the new containers are good: nothing puts the former ones back any more."""

    @property
    def services(self) -> list[str]:
        """Return the services whose containers are replaced, in their order."""
        return list(dict.fromkeys(change.service for change in self.changes))

    def of(self, service: str) -> list[Change]:
        """Return the containers of one service."""
        return [change for change in self.changes if change.service == service]

    def write(self) -> None:
        """Write the file, on the disk when this returns."""
        data = {name: value for name, value in dataclasses.asdict(self).items() if name != "path"}
        jsonfile.replace(self.path, data, mode=0o600)


def path_of(state_dir: Path) -> Path:
    """Return the place of the journal."""
    return state_dir / "services-restart.json"


def read_journal(state_dir: Path) -> Journal | None:
    """Return what an interrupted restart wrote down; None when nothing is under way."""
    path = path_of(state_dir)
    data: dict[str, Any] | None = jsonfile.read(path)
    if data is None:
        return None
    # Earlier versions wrote more of each container.
    names = {each.name for each in dataclasses.fields(Change)}
    try:
        entries = data.pop("changes")
        changes = [Change(**{name: entry[name] for name in names & entry.keys()}) for entry in entries]
        return Journal(path, changes=changes, **data)
    except (KeyError, TypeError, AttributeError):
        return None


@dataclass
class Restored:
    """What came of putting back, as sentences about what is not as before."""

    problems: list[str] = field(default_factory=list)
    """What resisted: another attempt may do it."""
    final: list[str] = field(default_factory=list)
    """What no further attempt would put right."""

    @property
    def whole(self) -> bool:
        """Tell whether all is as it was."""
        return not self.problems and not self.final


def put_back(client: DockerClient, journal: Journal, reporter: Reporter, settings: Settings) -> Restored:
    """Have images, containers and prod-env as they were; what is not as before is reported as errors, too.

    What was good before is waited for until it is good again, each for services.up_timeout at most. An error of the
    engine ends the attempt for one service and is reported; the rest is done.
    """
    result = Restored()
    _put_back_tags(client, journal, reporter, result)
    started = _put_back_containers(client, journal, reporter, result)
    _put_back_head(journal, reporter, settings, result)
    for change in started:
        try:
            wait_until_good(client, change.service, change.former, settings.services_up_timeout)
        except GovmaError as error:
            if change.well:
                result.final.append(
                    tr("{service}: the former container runs again, but: {error}", service=change.service, error=error)
                )
    for problem in (*result.problems, *result.final):
        reporter.error(problem)
    return result


def _put_back_tags(client: DockerClient, journal: Journal, reporter: Reporter, result: Restored) -> None:
    for tag, image in journal.tags.items():
        try:
            repository, _, name = tag.rpartition(":")
            client.api.tag(image, repository, name)
        except NotFound:
            reporter.warning("The image that {tag} was before is not there any more.", tag=tag)
        except FAILURES as error:
            why = reason(error)
            result.problems.append(tr("The image {tag} could not be put back: {reason}.", tag=tag, reason=why))


def _put_back_containers(client: DockerClient, journal: Journal, reporter: Reporter, result: Restored) -> list[Change]:
    """Start the former containers; return those that were started."""
    replicas: dict[str, str] = {}
    started: list[Change] = []
    for service in journal.services:
        changes = journal.of(service)
        if not any(change.touched for change in changes):
            continue
        try:
            for change in _restore(client, journal, changes, replicas, result):
                reporter.warning(
                    "{service}: the former container {name} runs again.", service=service, name=change.name
                )
                started.append(change)
        except (*FAILURES, GovmaError) as error:
            why = str(error).rstrip(".") if isinstance(error, GovmaError) else reason(error)
            result.problems.append(
                tr("{service}: the former container could not be brought back: {why}.", service=service, why=why)
            )
    return started


def _put_back_head(journal: Journal, reporter: Reporter, settings: Settings, result: Restored) -> None:
    head, directory = journal.head, settings.services_compose_dir
    if not head or directory is None:
        return
    try:
        with opened(directory, settings) as repository:
            repository.back(head)
        reporter.warning("prod-env is back at {head}.", head=head[:9])
    except GovmaError as error:
        sentence = tr("prod-env could not be moved back to {head}: {error}", head=head[:9], error=error)
        result.problems.append(sentence)


def _restore(
    client: DockerClient, journal: Journal, changes: list[Change], replicas: dict[str, str], result: Restored
) -> Iterator[Change]:
    """Have the former containers of one service run instead of the new ones; yield each as it is started.

    `replicas` are those made again so far, by the ids of what they stand for.
    """
    service = changes[0].service
    new = sorted(ids(client, journal.project, service) - {change.former for change in changes})
    # Made before anything is stopped: where that fails, what runs stays as it is.
    formers = [change for change in changes if change.former and _secure(client, journal, change, replicas)]
    missing = [change for change in changes if change.former and change not in formers]
    if missing and not formers and new:
        _keep_new(client, changes[0], new[0], result)
        return
    for change in missing:
        sentence = tr(
            "{service}: the container {name} that ran before is not there any more, nor is a new one. "
            "`govma-console services up {service}` makes one.",
            service=service,
            name=change.name,
        )
        result.final.append(sentence)
    for container in new:
        try:
            with suppress(NotFound):
                client.api.stop(container, timeout=_SHORT_STOP)
        except FAILURES as error:
            # The former one can run beside it, unless they want the same port.
            why = reason(error)
            result.problems.append(tr("{service}: the new container does not stop: {why}.", service=service, why=why))
    for change in formers:
        # Not only started: one that still runs was told to stop, or is about to be, and would end afterwards.
        client.api.restart(change.former)
        yield change
    for container in new:
        with suppress(NotFound):
            client.api.remove_container(container, force=True)
    for change in formers:
        _rename(client, change.former, change.name)


def _secure(client: DockerClient, journal: Journal, change: Change, replicas: dict[str, str]) -> bool:
    """Have a former container, started or not; False when it is gone and nothing is known of how it was made."""
    if inspected(client, change.former) is not None:
        return True
    description = kept_description(client, change.former)
    if description is None:
        return False
    replica = replicas[change.former] = make_again(client, description, replicas)
    # From here on it stands for the former one, also for the next attempt.
    change.former = replica
    journal.write()
    return True


def _keep_new(client: DockerClient, change: Change, container: str, result: Restored) -> None:
    """Keep the only container that a service has: the one before it is gone, and how it was made is not known."""
    client.api.start(container)
    _rename(client, container, change.name)
    sentence = tr(
        "{service}: the container {name} that ran before is not there any more; the new one is kept in its place.",
        service=change.service,
        name=change.name,
    )
    result.final.append(sentence)


def _rename(client: DockerClient, container: str, name: str) -> None:
    """Give a container the name of before: compose calls what it replaces `<id>_<name>`, and we what we make again."""
    description = inspected(client, container)
    if description is not None and description["Name"].removeprefix("/") != name:
        client.api.rename(container, name)
