"""The output of a container: its last lines, or line by line as it comes. Masked, and harmless to a terminal."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from docker import DockerClient

from govma_core.engine.client import FAILURES, connected, streaming, told_as
from govma_core.errors import GovmaError, UsageError
from govma_core.fs import jsonfile
from govma_core.masking import Mask
from govma_core.services.compose import Project, Question, find_project
from govma_core.services.compose_config import ComposeConfig, read_config
from govma_core.services.inspect import look, whole_mask
from govma_core.settings import Settings
from govma_core.text.clean import LineSplitter
from govma_core.text.language import tr

LAST_WORDS = "services-said.txt"
"""File of state_dir: the last lines of the container that was not good last."""

_LAST_LINES = 40
_TICK = 0.25


def last_lines(client: DockerClient, container: str, lines: int, mask: Mask) -> list[str]:
    """Return the last lines of a container's output; EngineError when the engine does not give them."""
    last: deque[str] = deque(maxlen=lines)
    for batch in Tail(client, container, mask, lines=lines, follow=False).batches():
        last.extend(batch)
    return list(last)


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


class Tail:
    """The output of a container from its last lines on; `close`, or setting `until`, ends it from any thread.

    Without `follow` it ends with what there is. Held is no more than the engine sends at once.
    """

    def __init__(
        self,
        client: DockerClient,
        container: str,
        mask: Mask,
        *,
        lines: int,
        follow: bool = True,
        until: threading.Event | None = None,
    ) -> None:
        self._client, self._container, self._mask, self._lines = client, container, mask, lines
        self._follow = follow
        self._closed = until or threading.Event()
        self._done = False

    def batches(self) -> Iterator[list[str]]:
        """Yield lines as they come, until the container ends or close() is called."""
        with streaming(self._client):
            with told_as(tr("read the output of a container")):
                stream = self._client.api.logs(self._container, stream=True, follow=self._follow, tail=self._lines)
            closer = threading.Thread(target=self._close_when_asked, args=(stream,), daemon=True)
            if self._follow:
                closer.start()
            splitter = LineSplitter()
            try:
                while (chunk := self._next(stream)) is not None and not self._closed.is_set():
                    lines = splitter.feed(chunk)
                    if lines:
                        yield list(self._mask.lines(lines))
                rest = list(splitter.close())
                if rest:
                    yield list(self._mask.lines(rest))
            finally:
                self._done = True
                if self._follow:
                    closer.join()

    def close(self) -> None:
        """Have batches() end."""
        self._closed.set()

    def _next(self, stream: Iterator[bytes]) -> bytes | None:
        if not self._follow:
            with told_as(tr("read the output of a container")):
                return next(stream, None)
        try:
            return next(stream, None)
        except (*FAILURES, ValueError):
            # The engine went away, or the stream was closed by another thread.
            return None

    def _close_when_asked(self, stream: object) -> None:
        while not self._done:
            if self._closed.wait(_TICK):
                with suppress(*FAILURES, AttributeError):
                    stream.close()  # type: ignore[attr-defined]
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
        tail = Tail(client, container, mask, lines=lines, follow=follow, until=until)
        try:
            yield tail.batches()
        finally:
            tail.close()


def _container(client, project: Project, service: str) -> tuple[str, Mask]:  # type: ignore[no-untyped-def]  # noqa: ANN001
    state = look(client, project.name)
    there = state.of(service)
    if not there:
        names = ", ".join(dict.fromkeys(container.service for container in state.containers)) or tr("none")
        raise UsageError(
            tr("There is no container of a service {service!r}. There are: {names}.", service=service, names=names)
        )
    config: ComposeConfig | None = None
    # What an env file holds is known from compose only; without compose it is in the containers themselves.
    with suppress(GovmaError):
        config = read_config(project, Question(project, "config").answer(project.mask))
    return there[0].id, whole_mask(project, config, state)
