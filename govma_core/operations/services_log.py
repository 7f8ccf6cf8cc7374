"""The output of one service, masked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from govma_core.engine.api import connected
from govma_core.errors import GovmaError, UsageError
from govma_core.language import tr
from govma_core.services.compose import Question
from govma_core.services.logs import Tail
from govma_core.services.mask import NameMask
from govma_core.services.project import Project, find_project
from govma_core.services.running import look
from govma_core.services.secrets import whole_mask
from govma_core.services.wanted import WantedProject, read_config
from govma_core.settings import Settings


@contextmanager
def service_log(
    settings: Settings, service: str, lines: int, *, follow: bool, until: threading.Event | None = None
) -> Iterator[Iterator[list[str]]]:
    """Yield batches of the lines of a service's output: the last ones, and with `follow` those that come.

    What is followed ends when `until` is set, by any thread.

    UsageError when there is no such service; PreflightError or EngineError when it cannot be looked at.
    """
    project = find_project(settings)
    with project.mask.over_errors(), connected(otherwise="") as client:
        container, mask = _container(client, project, service)
        tail = Tail(client, container, mask, lines=lines, follow=follow, until=until)
        try:
            yield tail.batches()
        finally:
            tail.close()


def _container(client, project: Project, service: str) -> tuple[str, NameMask]:  # type: ignore[no-untyped-def]  # noqa: ANN001
    seen = look(client, project.name)
    there = seen.of(service)
    if not there:
        names = ", ".join(dict.fromkeys(container.service for container in seen.containers)) or tr("none")
        raise UsageError(
            tr("There is no container of a service {service!r}. There are: {names}.", service=service, names=names)
        )
    wanted: WantedProject | None = None
    # What an env file holds is known from compose only; without compose the containers themselves tell it.
    with suppress(GovmaError):
        wanted = read_config(project, Question(project, "config").answer(project.mask))
    return there[0].id, whole_mask(project, wanted, seen)
