"""What a restart of containers writes down in state_dir, and how it is undone: by itself, or by the next after a kill.

The former containers run again, the names of images mean what they meant, prod-env is at its commit. Neither compose
nor its files have a part in it, since these are what failed. A former container that is still there is started again.
One that compose removed is made again by the engine from its description, of the image that it had (see former).
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from govma_core.engine.client import failures, not_found, reason, told_as, unreachable
from govma_core.engine.containers import PROJECT, SERVICE
from govma_core.errors import GovmaError
from govma_core.fs import jsonfile
from govma_core.reporting import Reporter
from govma_core.services.former_containers import kept_description, make_again
from govma_core.services.health import wait_until_good
from govma_core.services.inspect import inspected, read_container
from govma_core.services.source_drift import opened
from govma_core.settings import Settings
from govma_core.text.language import tr

if TYPE_CHECKING:
    from docker import DockerClient

_SHORT_STOP = 1
"""Seconds that a container which is not good gets to stop."""

_TICK = 0.5


@dataclass
class Change:
    """A container that compose may have stopped, or removed: its id and name, both '' where a service had none."""

    service: str
    former: str = ""
    name: str = ""
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

    @property
    def services(self) -> list[str]:
        """Return the services whose containers are replaced, in their order."""
        return list(dict.fromkeys(change.service for change in self.changes))

    def write(self) -> None:
        """Write the file, on the disk when this returns."""
        data = {name: value for name, value in dataclasses.asdict(self).items() if name != "path"}
        jsonfile.replace(self.path, data, mode=0o600)


def path_of(state_dir: Path) -> Path:
    """Return the place of the journal."""
    return state_dir / "services-restart.json"


def read_journal(state_dir: Path) -> Journal | None:
    """Return what an interrupted restart wrote down; None when nothing has to be put back."""
    data: dict[str, Any] | None = jsonfile.read(path_of(state_dir))
    # Earlier versions wrote down more: a restart that was over, and containers that nothing had been done to yet.
    if data is None or data.pop("done", False):
        return None
    names = {each.name for each in dataclasses.fields(Change)}
    try:
        entries = [entry for entry in data.pop("changes") if entry.get("touched", True)]
        changes = [Change(**{name: entry[name] for name in names & entry.keys()}) for entry in entries]
        return Journal(path_of(state_dir), changes=changes, **data)
    except (KeyError, TypeError, AttributeError):
        return None


class Restoration:
    """One attempt to have all as it was before a restart, with sentences about what is not.

    `problems` are what resisted, which another attempt may do; `final` what none would put right. `interrupted` is
    True when compose did not come to its end: a container that runs may have been told to stop.
    """

    def __init__(
        self, client: DockerClient, journal: Journal, reporter: Reporter, settings: Settings, *, interrupted: bool
    ) -> None:
        self._client, self._journal, self._reporter, self._settings = client, journal, reporter, settings
        self._interrupted = interrupted
        self._replicas: dict[str, str] = {}
        self.touched = False
        """True when a container had to be started."""
        self.problems: list[str] = []
        self.final: list[str] = []

    @property
    def whole(self) -> bool:
        """Tell whether all is as it was."""
        return not self.problems and not self.final

    def carry_out(self) -> None:
        """Have images, containers and prod-env as they were; what is not as before is reported as errors, too.

        What was good before is waited for until it is good again, each for services.up_timeout at most, and so is an
        engine that does not answer. An error of the engine ends the attempt for one service; the rest is done.
        """
        started: list[Change] = []
        if self._engine_answers():
            self._put_back_tags()
            started += [change for service in self._journal.services for change in self._put_back_service(service)]
        self._put_back_head()
        for change in started:
            try:
                wait_until_good(self._client, change.service, change.former, self._settings.services_up_timeout)
            except GovmaError as error:
                if change.well:
                    self.final.append(
                        tr(
                            "{service}: the former container runs again, but: {error}",
                            service=change.service,
                            error=error,
                        )
                    )
        for problem in (*self.problems, *self.final):
            self._reporter.error(problem)

    def _engine_answers(self) -> bool:
        """Wait for the engine; a problem when it does not answer in time."""
        timeout = self._settings.services_up_timeout
        until, is_told = time.monotonic() + timeout, False
        while True:
            try:
                return bool(self._client.ping())
            except failures() as error:
                sentence = unreachable(error, otherwise="")
            if time.monotonic() > until:
                self.problems.append(sentence)
                return False
            if not is_told:
                self._reporter.warning(
                    "{sentence} It is waited for, {timeout} s at most, to put back what was before.",
                    sentence=sentence,
                    timeout=timeout,
                )
            is_told = True
            time.sleep(_TICK)

    def _put_back_tags(self) -> None:
        for tag, image in self._journal.tags.items():
            repository, _, name = tag.rpartition(":")
            try:
                self._client.api.tag(image, repository, name)
            except not_found():
                self._reporter.warning("The image that {tag} was before is not there any more.", tag=tag)
            except failures() as error:
                why = reason(error)
                self.problems.append(tr("The image {tag} could not be put back: {reason}.", tag=tag, reason=why))

    def _put_back_head(self) -> None:
        head, directory = self._journal.head, self._settings.services_compose_dir
        if not head or directory is None:
            return
        try:
            with opened(directory, self._settings) as repository:
                # Local changes are kept.
                repository.run("reset", "--keep", "--quiet", head)
            self._reporter.warning("prod-env is back at {head}.", head=head[:9])
        except GovmaError as error:
            sentence = tr("prod-env could not be moved back to {head}: {error}", head=head[:9], error=error)
            self.problems.append(sentence)

    def _put_back_service(self, service: str) -> Iterator[Change]:
        """Have the former containers of a service run instead of the new ones; yield each that was started."""
        try:
            for change in self._exchange(service):
                self.touched = True
                self._reporter.warning(
                    "{service}: the former container {name} runs again.", service=service, name=change.name
                )
                yield change
        except failures(GovmaError) as error:
            why = str(error).rstrip(".") if isinstance(error, GovmaError) else reason(error)
            self.problems.append(
                tr("{service}: the former container could not be brought back: {why}.", service=service, why=why)
            )

    def _exchange(self, service: str) -> Iterator[Change]:
        changes = [each for each in self._journal.changes if each.service == service and each.former]
        with told_as(tr("list its containers")):
            labels = [f"{PROJECT}={self._journal.project}", f"{SERVICE}={service}"]
            listed = self._client.api.containers(all=True, filters={"label": labels})
        new = sorted({entry["Id"] for entry in listed} - {change.former for change in changes})
        if not new and not self._interrupted:
            # Compose stops none before it has made its new one, or has renamed it: what runs goes on.
            changes = [change for change in changes if not self._runs(change)]
        # Made before anything is stopped: where that fails, what runs stays as it is.
        formers = [change for change in changes if self._secure(change)]
        missing = [change for change in changes if change not in formers]
        keeps_new = bool(missing and new and not formers)
        if keeps_new:
            # It is the only one that the service has.
            self._client.api.start(new[0])
            self._rename(new[0], missing[0].name)
            new, missing = [], missing[:1]
        self.final += [_loss(change, keeps_new=keeps_new) for change in missing]
        for container in new:
            try:
                with suppress(not_found()):
                    self._client.api.stop(container, timeout=_SHORT_STOP)
            except failures() as error:
                # The former one can run beside it, unless they want the same port.
                why = reason(error)
                self.problems.append(tr("{service}: the new container does not stop: {why}.", service=service, why=why))
        for change in formers:
            # Not only started: one that still runs was told to stop, or is about to be, and would end afterwards.
            self._client.api.restart(change.former)
            yield change
        for container in new:
            with suppress(not_found()):
                self._client.api.remove_container(container, force=True)
        for change in formers:
            self._rename(change.former, change.name)

    def _runs(self, change: Change) -> bool:
        description = inspected(self._client, change.former)
        return description is not None and read_container(description).running

    def _secure(self, change: Change) -> bool:
        """Have a former container, started or not; False when it is gone and nothing is known of how it was made."""
        if inspected(self._client, change.former) is not None:
            return True
        description = kept_description(self._client, change.former)
        if description is None:
            return False
        # From here on the replica stands for the former one, also for the next attempt.
        self._replicas[change.former] = change.former = make_again(self._client, description, self._replicas)
        self._journal.write()
        return True

    def _rename(self, container: str, name: str) -> None:
        """Give a container its name of before: compose calls what it replaces `<id>_<name>`, and so do we."""
        description = inspected(self._client, container)
        if description is not None and description["Name"].removeprefix("/") != name:
            self._client.api.rename(container, name)


def _loss(change: Change, *, keeps_new: bool) -> str:
    if keeps_new:
        return tr(
            "{service}: the container {name} that ran before is not there any more; the new one is kept in its place.",
            service=change.service,
            name=change.name,
        )
    return tr(
        "{service}: the container {name} that ran before is not there any more, nor is a new one. "
        "`govma-console services up {service}` makes one.",
        service=change.service,
        name=change.name,
    )
