"""The output of a container: its last lines, or line by line as it comes. Masked, and harmless to a terminal."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from govma_core.engine.client import connected, failures, streaming, told_as
from govma_core.errors import EngineError, GovmaError, UsageError
from govma_core.fs import jsonfile
from govma_core.masking import Mask
from govma_core.services.compose import Project, Question, find_project
from govma_core.services.compose_config import ComposeConfig, read_config
from govma_core.services.inspect import look, whole_mask
from govma_core.settings import Settings
from govma_core.text.clean import LineSplitter
from govma_core.text.language import tr

if TYPE_CHECKING:
    from docker import DockerClient

LAST_WORDS = "services-said.txt"
"""File of state_dir: the last lines of the container that was not good last."""

_LAST_LINES = 40
_TICK = 0.25


def last_lines(client: DockerClient, container: str, lines: int, mask: Mask) -> list[str]:
    """Return the last lines of a container's output; EngineError when the engine does not give them."""
    output = batches(client, container, mask, lines=lines, follow=False)
    return list(deque((line for batch in output for line in batch), maxlen=lines))


def keep_last_words(client: DockerClient, project: str, service: str, state_dir: Path, mask: Mask) -> str:
    """Keep the last lines of a service that is not good, for the owner of state_dir; return a sentence of where.

    More callers may read a run's log than the output of containers. '' where there is nothing, or it cannot be kept.
    """
    path = state_dir / LAST_WORDS
    try:
        containers = look(client, project).of(service)
        lines = last_lines(client, containers[0].id, _LAST_LINES, mask) if containers else []
        if not lines:
            return ""
        jsonfile.replace_bytes(path, ("\n".join(lines) + "\n").encode(), mode=0o600)
    except (GovmaError, OSError):
        return ""
    return tr(" What it said last is in {path}.", path=path)


def batches(
    client: DockerClient,
    container: str,
    mask: Mask,
    *,
    lines: int,
    follow: bool = True,
    until: threading.Event | None = None,
) -> Generator[list[str], None, None]:
    """Yield the output of a container from its last lines on, as it comes: until it ends, or `until` is set.

    Any thread may set it. Without `follow` it ends with what there is; EngineError when the engine does not give all
    of that. Held is no more than the engine sends at once.
    """
    stop, end = until or threading.Event(), threading.Event()
    with streaming(client):
        with told_as(tr("read the output of a container")):
            stream = client.api.logs(container, stream=True, follow=follow, tail=lines)
        closer = threading.Thread(target=_close_when_asked, args=(stream, stop, end), daemon=True)
        if follow:
            closer.start()
        splitter = LineSplitter()
        try:
            while (chunk := _next(stream, follow=follow)) is not None and not stop.is_set():
                if batch := splitter.feed(chunk):
                    yield list(mask.lines(batch))
            if rest := list(splitter.close()):
                yield list(mask.lines(rest))
        finally:
            end.set()
            if follow:
                closer.join()


def _next(stream: Iterator[bytes], *, follow: bool) -> bytes | None:
    try:
        with told_as(tr("read the output of a container")):
            return next(stream, None)
    except (EngineError, ValueError):
        # The engine went away, or the stream was closed by another thread.
        if follow:
            return None
        raise


def _close_when_asked(stream: Any, stop: threading.Event, end: threading.Event) -> None:  # noqa: ANN401
    while not end.is_set():
        if stop.wait(_TICK):
            with suppress(*failures(AttributeError)):
                stream.close()
            return


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
        with closing(batches(client, container, mask, lines=lines, follow=follow, until=until)) as output:
            yield output


def _container(client: DockerClient, project: Project, service: str) -> tuple[str, Mask]:
    state = look(client, project.name)
    there = state.of(service)
    if not there:
        names = ", ".join(dict.fromkeys(container.service for container in state.containers)) or tr("none")
        raise UsageError(
            "There is no container of a service {service!r}. There are: {names}.", service=service, names=names
        )
    config: ComposeConfig | None = None
    # What an env file holds is known from compose only; without compose it is in the containers themselves.
    with suppress(GovmaError):
        config = read_config(project, Question(project, "config").answer(project.mask))
    return there[0].id, whole_mask(project, config, state)
