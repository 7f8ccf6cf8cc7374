"""One connection: uvicorn's HTTP protocol with the peer in the scope, deadlines, bounds, and HTTP/1.0 streams."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from govma_console.server.peer import Peer, peer_of

HEAD_SECONDS = 10.0
"""Seconds in which a request's head must be there, from the connection's begin or the request's first byte."""
LAST_HEAD_SECONDS = 1.0
"""Seconds in which it must be there on a connection that was new when the server began to stop."""
HOLD_CHECK_SECONDS = 1.0
"""Seconds between two checks whether a half-closed caller is still there."""
HEAD_BYTES = 1 << 16
"""Bytes that a client may send without completing a request's head, beside those of the last read (256 KiB)."""
PIPELINED_REQUESTS = 8
"""Requests that may wait on a connection for the response to an earlier one; each takes memory."""
SPARE_CONNECTIONS = 200
"""Connections beyond the limit that get an answer (503); further ones get none: files must be left for the runs."""
PEER, GIVEN_UP, ABORT, UNCHUNKED = "govma.peer", "govma.given-up", "govma.abort", "govma.unchunked"
"""Keys of the scope: the Peer; whether it has hung up before the request was read; a function that ends the connection,
without what was not sent yet; a function that has the response sent without length or chunks."""


class Connection(HttpToolsProtocol):
    """A connection of the server."""

    _peer = Peer(("?", 0))
    _deadline: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _in_body = False
    _last = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a new connection."""
        super().connection_made(transport)
        self._set_deadline(HEAD_SECONDS)
        if len(self.connections) > (self.config.limit_concurrency or 0) + SPARE_CONNECTIONS:
            transport.abort()
        try:
            self._peer = peer_of(transport.get_extra_info("socket"))
        except OSError:
            transport.abort()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Continue the response to a half-closed caller, as `nc -N` is; one that is gone looks the same at first."""
        if self.cycle is None or self.cycle.response_complete:
            return False
        self.cycle.keep_alive = False
        self._check_hold()
        return not self.transport.is_closing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of a connection."""
        self._set_deadline(None)
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Take no more requests; but the one that a new connection was made for is answered."""
        if self.cycle is None:
            self._last = True
            self._set_deadline(LAST_HEAD_SECONDS)
        else:
            super().shutdown()

    def data_received(self, data: bytes) -> None:
        """Take the next bytes."""
        if self._deadline is None and (self.cycle is None or self.cycle.response_complete):
            self._set_deadline(HEAD_SECONDS)
        self._head_bytes += len(data)
        super().data_received(data)
        # Only now is it known: a head may come with all of its body in one piece.
        if self._in_body:
            self._head_bytes = 0
        elif self._head_bytes > HEAD_BYTES:
            self.transport.abort()

    def on_headers_complete(self) -> None:
        """Take the head of a request, and begin to answer."""
        self._in_body = True
        self._set_deadline(None)
        # Asked once a connection, and not for those that never send a request.
        self._peer = self._peer.identified()
        given_up = self._peer.has_given_up(self.transport.get_extra_info("socket"))
        own = {PEER: self._peer, GIVEN_UP: given_up, ABORT: self.transport.abort, UNCHUNKED: self._send_until_close}
        self.scope.update(own)  # type: ignore[typeddict-item]
        super().on_headers_complete()
        self.cycle.keep_alive &= not self._last
        if len(self.pipeline) > PIPELINED_REQUESTS:
            self.transport.abort()

    def on_message_complete(self) -> None:
        """Take the end of a request."""
        self._head_bytes, self._in_body = 0, False
        super().on_message_complete()

    @property
    def is_unanswered(self) -> bool:
        """True until the response to the last request has begun, or the first request has come."""
        return (self.cycle is None or not self.cycle.response_started) and not self.transport.is_closing()

    def _set_deadline(self, seconds: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self.transport.abort)

    def _check_hold(self) -> None:
        """Abort when no process has the far end any more; of a half-closed caller the kernel does not tell that."""
        if self.transport.is_closing():
            return
        if self._peer.holds(self.transport.get_extra_info("socket")):
            self.loop.call_later(HOLD_CHECK_SECONDS, self._check_hold)
        else:
            self.transport.abort()

    def _send_until_close(self) -> None:
        """Let the response end with the connection: HTTP/1.0 knows no chunks."""
        self.cycle.chunked_encoding = False
        self.cycle.expected_content_length = float("inf")  # type: ignore[assignment]
