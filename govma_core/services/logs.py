"""The output of a container: its last lines, or line by line as it comes. Masked, and harmless to a terminal."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress

from docker import DockerClient

from govma_core.engine.api import FAILURES, streaming, told_as
from govma_core.services.mask import Mask
from govma_core.text import LineSplitter

_LONGEST = 256 * 1024


def last_lines(client: DockerClient, container: str, lines: int, mask: Mask) -> list[str]:
    """Give the last lines of a container's output; EngineError when the engine does not give them."""
    with told_as("read the output of a container"):
        raw = client.api.logs(container, tail=lines)
    splitter = LineSplitter()
    found = [*splitter.feed(raw[-_LONGEST:]), *splitter.close()]
    return mask.lines(found)[-lines:]


class Tail:
    """The output of a container from its last lines on; `close` ends it from any thread."""

    def __init__(self, client: DockerClient, container: str, mask: Mask, *, lines: int) -> None:
        self._client, self._container, self._mask, self._lines = client, container, mask, lines
        self._closed = threading.Event()
        self._end = threading.Event()

    def batches(self) -> Iterator[list[str]]:
        """Give lines as they come, until the container ends or somebody closes this."""
        with streaming(self._client):
            with told_as("follow the output of a container"):
                stream = self._client.api.logs(self._container, stream=True, follow=True, tail=self._lines)
            closer = threading.Thread(target=self._close_when_asked, args=(stream,), daemon=True)
            closer.start()
            splitter = LineSplitter()
            try:
                while True:
                    try:
                        chunk = next(stream, None)
                    except (*FAILURES, ValueError):
                        # The engine went away, or somebody closed it under our hands.
                        chunk = None
                    if chunk is None or self._closed.is_set():
                        break
                    lines = splitter.feed(chunk)
                    if lines:
                        yield self._mask.lines(lines)
                rest = list(splitter.close())
                if rest:
                    yield self._mask.lines(rest)
            finally:
                self._end.set()
                closer.join()

    def close(self) -> None:
        """Have batches() end."""
        self._closed.set()
        self._end.set()

    def _close_when_asked(self, stream: object) -> None:
        self._end.wait()
        if self._closed.is_set():
            with suppress(*FAILURES, AttributeError):
                stream.close()  # type: ignore[attr-defined]
