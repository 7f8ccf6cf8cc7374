"""The builder image, made from the folder of the deployed commit; what the engine says meanwhile goes into the log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import IO, Any

from docker import DockerClient

from govma_core.engine.client import FAILURES, reason, streaming
from govma_core.errors import BuildError
from govma_core.reporting import Cancellation, Reporter
from govma_core.settings import Settings
from govma_core.text.clean import LineSplitter, clean_line
from govma_core.text.language import tr

Message = dict[str, Any]

_LONGEST = 400


def make_image(client: DockerClient, settings: Settings, context: IO[bytes], reporter: Reporter) -> None:
    """Make the image `builder_image` from a tar with a Dockerfile at its top, within build_timeout seconds.

    It carries no label of ours: containers that people start of it would inherit that, and pass for leftovers.
    BuildError when it cannot be made; RunCancelled when the run is to stop, and the engine drops the work.
    """
    log = _ImageLog(reporter)
    with streaming(client):
        for message in _messages(client, settings, context, reporter.cancellation):
            log.take(message)
    log.close()
    if log.error:
        raise BuildError(
            tr(
                "The builder image could not be made from {source}: {error}. Look whether the base "
                "image is on this machine, or its registry can be reached.",
                source=settings.builder_context,
                error=log.error,
            )
        )


def _messages(
    client: DockerClient, settings: Settings, context: IO[bytes], cancellation: Cancellation
) -> Iterator[Message]:
    """Have the engine make the image, and yield what it says meanwhile; BuildError when it fails or takes too long."""
    source, timeout = settings.builder_context, settings.build_timeout
    ends = time.monotonic() + timeout
    try:
        with cancellation.interruptible():
            # The time-out here is for silence: of each single message.
            messages = client.api.build(
                fileobj=context,
                custom_context=True,
                decode=True,
                rm=True,
                forcerm=True,
                tag=settings.builder_image,
                timeout=timeout,
            )
        while time.monotonic() < ends:
            with cancellation.interruptible():
                message = next(messages, None)
            if message is None:
                return
            yield message
    except FAILURES as error:
        if time.monotonic() < ends:
            raise BuildError(
                tr(
                    "Docker could not make the builder image from {source}: {reason}.",
                    source=source,
                    reason=reason(error),
                )
            ) from None
    raise BuildError(
        tr(
            "The builder image was not made from {source} within {build_timeout} s (build_timeout).",
            source=source,
            build_timeout=timeout,
        )
    )


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
