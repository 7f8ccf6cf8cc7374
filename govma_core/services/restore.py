"""An exchange undone: the containers that ran before run again, and the images have their names back."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

from docker import DockerClient
from docker.errors import NotFound

from govma_core.engine.client import FAILURES, reason
from govma_core.errors import GovmaError
from govma_core.reporting import Reporter
from govma_core.services.inspect import inspected
from govma_core.services.replace_container import Change, Journal, ids, wait_until_good
from govma_core.text.language import tr

_SHORT_STOP = 2


@dataclass
class PutBack:
    """What came of putting back: services that compose has to bring back, and sentences about what is not as before."""

    left: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What resisted: another attempt may do it."""
    final: list[str] = field(default_factory=list)
    """What no further attempt would put right."""

    @property
    def whole(self) -> bool:
        """Tell whether all is as it was."""
        return not self.problems and not self.final


def put_back(client: DockerClient, journal: Journal, reporter: Reporter, timeout: float) -> PutBack:
    """Start the former containers again, and remove the new ones; then give the images their names back.

    What was good before is waited for until it is good again, each for `timeout` seconds at most. What compose
    recreated itself is left to the caller: the former containers are gone. Whatever resists is told, the rest is done.
    """
    done = PutBack()
    started = []
    for change in reversed(journal.changes):
        if not change.beside:
            done.left += [change.service] if change.touched else []
            continue
        try:
            if _undone(client, journal, change, done, reporter) and change.touched:
                started.append(change)
        except (*FAILURES, GovmaError) as error:
            why = str(error).rstrip(".") if isinstance(error, GovmaError) else reason(error)
            done.problems.append(
                tr("{service}: the former container could not be brought back: {why}.", service=change.service, why=why)
            )
    for tag, image in journal.tags.items():
        try:
            repository, _, name = tag.rpartition(":")
            client.api.tag(image, repository, name)
        except NotFound:
            reporter.warning(tr("The image that {tag} was before is not there any more.", tag=tag))
        except FAILURES as error:
            done.problems.append(tr("The image {tag} could not be put back: {reason}.", tag=tag, reason=reason(error)))
    for change in started:
        _await(client, change, done, timeout)
    return done


def _undone(client: DockerClient, journal: Journal, change: Change, done: PutBack, reporter: Reporter) -> bool:
    """Have the former container of one service run instead of the new one; False when it is not there any more."""
    if change.touched and inspected(client, change.former) is None:
        _keep_new(client, change, done)
        return False
    if change.touched:
        _start_former(client, change, done, reporter)
    for made in {change.new} - {""} or _never_started(client, journal.project, change):
        with suppress(NotFound):
            client.api.remove_container(made, force=True)
    return True


def _keep_new(client: DockerClient, change: Change, done: PutBack) -> None:
    """Keep the only container that a service has left: somebody removed the one that it had before."""
    raw = inspected(client, change.new) if change.new else None
    if raw is None:
        done.final.append(
            tr(
                "{service}: the container {name} that ran before is not there any more, nor is a new one. "
                "`govma-console services up {service}` makes one.",
                service=change.service,
                name=change.name,
            )
        )
        return
    if not raw["State"]["Running"]:
        client.api.start(change.new)
    if raw["Name"].removeprefix("/") != change.name:
        client.api.rename(change.new, change.name)
    done.final.append(
        tr(
            "{service}: the container {name} that ran before is not there any more; the new one is kept in its place.",
            service=change.service,
            name=change.name,
        )
    )


def _start_former(client: DockerClient, change: Change, done: PutBack, reporter: Reporter) -> None:
    try:
        # It is not good: there is nothing to be waited for long.
        client.api.stop(change.new, timeout=_SHORT_STOP)
    except NotFound:
        pass
    except FAILURES as error:
        # The former one can run beside it, unless they want the same port.
        why = reason(error)
        done.problems.append(tr("{service}: the new container does not stop: {why}.", service=change.service, why=why))
    raw = inspected(client, change.former)
    if raw is not None and raw["State"]["Running"]:
        # It was told to stop, or is about to be: it would end after we looked.
        client.api.restart(change.former)
    else:
        client.api.start(change.former)
    reporter.warning(tr("{service}: the former container {name} runs again.", service=change.service, name=change.name))


def _await(client: DockerClient, change: Change, done: PutBack, timeout: float) -> None:
    try:
        wait_until_good(client, change.service, lambda: change.former, timeout)
    except GovmaError as error:
        if change.well:
            done.final.append(
                tr("{service}: the former container runs again, but: {error}", service=change.service, error=error)
            )


def _never_started(client: DockerClient, project: str, change: Change) -> set[str]:
    """Return what compose had made beside the former container when it was interrupted."""
    found = ids(client, project, change.service) - {change.former}
    raws = {each: inspected(client, each) for each in found}
    return {each for each, raw in raws.items() if raw is not None and raw["State"]["Status"] == "created"}
