"""What the container of a build prints, as it comes, and its end."""

from __future__ import annotations

import time
from typing import Any

from docker.models.containers import Container

from govma_core.build.script import BuildLog
from govma_core.engine.api import FAILURES, reason, told_as
from govma_core.errors import BuildError
from govma_core.language import tr
from govma_core.reporting import Cancellation
from govma_core.shell.waiting import CHUNK, TICK

_HEADER = 8


class Attachment:
    """What a container prints, from its very start; made before the container is started."""

    def __init__(self, container: Container, cancellation: Cancellation, log: BuildLog) -> None:
        self._container = container
        self._cancellation = cancellation
        self._log = log
        self._frames = Frames()
        with told_as(tr("attach to the build's container")):
            attached: Any = container.attach_socket(params={"stdout": 1, "stderr": 1, "stream": 1})
        # The SDK gives a SocketIO, which cannot be read again after a time-out; the socket below it can.
        self._socket: Any = getattr(attached, "_sock", attached)
        self._socket.settimeout(TICK)
        self._closed = False
        self.state: dict[str, Any] = {}

    def receive(self) -> bytes | None:
        """Return the next bytes, None when there were none for a TICK, b"" when the container has ended."""
        if not self._closed:
            try:
                with self._cancellation.interruptible():
                    data: bytes = self._socket.recv(CHUNK)
            except TimeoutError:
                return None
            except OSError:
                data = b""
            if data:
                return self._frames.payload(data) or None
            self._closed = True
        return self._ended()

    def _ended(self) -> bytes | None:
        """Look whether the container has ended: a build may close its output and go on."""
        try:
            self._container.reload()
        except FAILURES as error:
            raise BuildError(
                tr(
                    "Docker stopped answering during the build ({reason}). It was running {where}. Check Docker "
                    "(systemctl status docker), then deploy again.",
                    reason=reason(error),
                    where=self._log.where,
                )
            ) from None
        self.state = self._container.attrs["State"]
        if not self.state["Running"]:
            return b""
        with self._cancellation.interruptible():
            time.sleep(TICK / 5)
        return None


class Frames:
    """Takes the engine's frame headers out of an attached stream.

    A header is the stream's number, three zero bytes, and the length of what follows (Docker Engine API, "Attach to a
    container", stream format).
    """

    def __init__(self) -> None:
        self._header = b""
        self._left = 0

    def payload(self, data: bytes) -> bytes:
        """Return what the next bytes of the stream hold, without headers."""
        parts = []
        at = 0
        while at < len(data):
            if self._left:
                part = data[at : at + self._left]
                parts.append(part)
                self._left -= len(part)
                at += len(part)
            else:
                need = _HEADER - len(self._header)
                self._header += data[at : at + need]
                at += need
                if len(self._header) == _HEADER:
                    self._left = int.from_bytes(self._header[4:], "big")
                    self._header = b""
        return b"".join(parts)
