"""The builder image, made from the folder of the deployed commit; what the engine says meanwhile goes into the log."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, Full, Queue
from typing import IO, TYPE_CHECKING, Any

from govma_core.engine.client import failures, reason, streaming
from govma_core.errors import BuildError
from govma_core.process.shell import TICK
from govma_core.reporting import Reporter
from govma_core.settings import Settings
from govma_core.text.clean import LineSplitter, clean_line

if TYPE_CHECKING:
    from docker import DockerClient

Message = dict[str, Any]

_LONGEST = 400
_AHEAD = 256
_PATIENCE = 10


def make_image(client: DockerClient, settings: Settings, context: IO[bytes], reporter: Reporter) -> None:
    """Make the image `builder_image` from a tar with a Dockerfile at its top, within build_timeout seconds.

    It carries no label of ours: containers that people start of it would inherit that, and pass for leftovers.
    BuildError when it cannot be made; RunCancelled when the run is to stop, and the engine drops the work.
    """

    def start() -> Iterator[Message]:
        return client.api.build(
            fileobj=context,
            custom_context=True,
            decode=True,
            rm=True,
            forcerm=True,
            tag=settings.builder_image,
            timeout=settings.build_timeout,
        )

    log = _ImageLog(reporter)
    ends = time.monotonic() + settings.build_timeout
    source = settings.builder_context
    with _read_ahead(client, start) as messages:
        while True:
            reporter.cancellation.check()
            if time.monotonic() >= ends:
                raise BuildError(
                    "The builder image was not made from {source} within {build_timeout} s (build_timeout).",
                    source=source,
                    build_timeout=settings.build_timeout,
                )
            try:
                message = messages.get(timeout=TICK)
            except Empty:
                continue
            if message is None:
                break
            if isinstance(message, failures()):
                raise BuildError(
                    "Docker could not make the builder image from {source}: {reason}.",
                    source=source,
                    reason=reason(message),
                ) from None
            if isinstance(message, Exception):
                raise message
            log.take(message)
    log.close()
    if log.error:
        raise BuildError(
            "The builder image could not be made from {source}: {error}. Look whether the base "
            "image is on this machine, or its registry can be reached.",
            source=source,
            error=log.error,
        )


@contextmanager
def _read_ahead(
    client: DockerClient, start: Callable[[], Iterator[Message]]
) -> Iterator[Queue[Message | Exception | None]]:
    """Read the engine's messages in a thread, a few ahead: the SDK's reading cannot be interrupted and resumed."""
    messages: Queue[Message | Exception | None] = Queue(_AHEAD)
    given_up = threading.Event()

    def put(item: Message | Exception | None) -> None:
        while not given_up.is_set():
            try:
                return messages.put(item, timeout=TICK)
            except Full:
                continue

    def read() -> None:
        try:
            for message in start():
                put(message)
        except Exception as error:  # also what reading a closed stream raises; then nothing listens any more
            put(error)
        else:
            put(None)

    thread = threading.Thread(target=read, name="image", daemon=True)
    try:
        with streaming(client):
            thread.start()
            try:
                yield messages
            finally:
                given_up.set()
    finally:
        thread.join(_PATIENCE)


class _ImageLog:
    """Turns the engine's messages into lines, and keeps its error."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._splitter = LineSplitter()
        self.error = ""

    def take(self, message: Message) -> None:
        """Take a message: a piece of output, a state of a download, or the error."""
        if "stream" in message:
            for line in self._splitter.feed(str(message["stream"]).encode("utf-8", "replace")):
                self._reporter.output(line)
        elif "error" in message:
            self.error = clean_line(" ".join(str(message["error"]).split()))[:_LONGEST].rstrip(".")
        elif "status" in message and not message.get("progressDetail"):
            # Those with a detail are the moving bars of a download.
            layer = f"{message['id']}: " if message.get("id") else ""
            self._reporter.output(clean_line(f"{layer}{message['status']}"))
        self._reporter.flush()

    def close(self) -> None:
        """Say what is left."""
        for line in self._splitter.close():
            self._reporter.output(line)
