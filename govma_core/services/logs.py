"""The output of a container: its last lines, or line by line as it comes. Masked, and harmless to a terminal."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress

from docker import DockerClient

from govma_core.engine.api import FAILURES, streaming, told_as
from govma_core.language import tr
from govma_core.services.mask import NameMask
from govma_core.text import LineSplitter

_TICK = 0.25


def last_lines(client: DockerClient, container: str, lines: int, mask: NameMask) -> list[str]:
    """Return the last lines of a container's output; EngineError when the engine does not give them."""
    found: deque[str] = deque(maxlen=lines)
    for batch in Tail(client, container, mask, lines=lines, follow=False).batches():
        found.extend(batch)
    return list(found)


class Tail:
    """The output of a container from its last lines on; `close`, or setting `until`, ends it from any thread.

    Without `follow` it ends with what there is. Held is no more than the engine sends at once.
    """

    def __init__(
        self,
        client: DockerClient,
        container: str,
        mask: NameMask,
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
        """Yield lines as they come, until the container ends or somebody closes this."""
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
                        yield self._mask.lines(lines)
                rest = list(splitter.close())
                if rest:
                    yield self._mask.lines(rest)
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
            # The engine went away, or somebody closed it under our hands.
            return None

    def _close_when_asked(self, stream: object) -> None:
        while not self._done:
            if self._closed.wait(_TICK):
                with suppress(*FAILURES, AttributeError):
                    stream.close()  # type: ignore[attr-defined]
                return
