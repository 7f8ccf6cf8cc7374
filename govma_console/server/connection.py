"""One connection: uvicorn's HTTP protocol with what it leaves open: deadlines, bounds, HTTP/1.0, the peer."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from govma_console.server.peer import Peer, peer_of

HEAD_SECONDS = 10.0
"""Seconds in which a request's head must be there, from the connection's begin or the request's first byte."""
LAST_HEAD_SECONDS = 1.0
"""Seconds in which it must be there on a connection that was new when the server began to stop."""
LOOK_SECONDS = 1.0
"""Seconds between two looks whether a caller who has nothing more to say is still there."""
HEAD_BYTES = 1 << 16
"""Bytes that a client may send without completing a request's head, beside those of the last read (256 KiB)."""
SPARE_CONNECTIONS = 200
MOST_PIPELINED = 8
"""Requests that may wait on a connection for the one before."""
PEER = "govma.peer"
"""Key of the scope that holds the Peer."""
ABORT = "govma.abort"
"""Key of the scope that holds a function: it ends the connection, without what was not sent yet."""
UNCHUNKED = "govma.unchunked"
"""Key of the scope that holds a function: what is sent then has neither length nor chunks."""

_QUIET_SECONDS, _PROBE_SECONDS, _PROBES = 60, 15, 4
_UNLIMITED = float("inf")


class Connection(HttpToolsProtocol):
    """A connection of the server."""

    _deadline: asyncio.TimerHandle | None = None
    _look: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _in_body = False
    _last = False
    _peer = Peer(("?", 0))

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a new connection."""
        super().connection_made(transport)
        if len(self.connections) > (self.config.limit_concurrency or 0) + SPARE_CONNECTIONS:
            # Those beyond the limit get an answer; those beyond this not even that: files must be left for the runs.
            transport.abort()
            return
        connection: socket.socket = transport.get_extra_info("socket")
        try:
            self._peer = peer_of(connection)
            if not self._peer.unix:
                _notice_dead_peers(connection)
        except OSError:
            transport.abort()
        self._expect_head()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request; but not the whole one before it, which is on its way already."""
        if self._in_body or self.cycle is None or self.cycle.response_complete:
            super().send_400_response(msg)
        else:
            self.cycle.keep_alive = False

    def eof_received(self) -> bool:  # type: ignore[override]
        """Go on with an answer when the caller only has no more to say, as `nc -N`; one who is gone looks the same."""
        if self.cycle is None or self.cycle.response_complete:
            return False
        self.cycle.keep_alive = False
        return self._is_held()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of a connection, with all requests that came by it."""
        self._head_is_there()
        for cycle, _ in self.pipeline:
            cycle.disconnected = True
            cycle.message_event.set()
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    @property
    def awaited(self) -> bool:
        """True while the first request of this connection has not come."""
        return self.cycle is None and not self.transport.is_closing()

    @property
    def unanswered(self) -> bool:
        """True while the answer to the request that came last has not begun."""
        return self.cycle is not None and not self.cycle.response_started and not self.transport.is_closing()

    def shutdown(self) -> None:
        """Take no more requests; but the one that a new connection was made for is answered."""
        if not self.awaited:
            super().shutdown()
            return
        self._last = True
        self._head_is_there()
        self._deadline = self.loop.call_later(LAST_HEAD_SECONDS, self._too_slow)

    def data_received(self, data: bytes) -> None:
        """Take the next bytes."""
        if self._deadline is None and (self.cycle is None or self.cycle.response_complete):
            self._expect_head()
        self._head_bytes += len(data)
        super().data_received(data)
        # Only now is it known: a head may come with all of its body in one piece.
        if self._in_body:
            self._head_bytes = 0
        elif self._head_bytes > HEAD_BYTES:
            self.transport.abort()

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self.scope[ABORT] = self.transport.abort  # type: ignore[literal-required]
        self.scope[UNCHUNKED] = self._send_until_close  # type: ignore[literal-required]

    def on_headers_complete(self) -> None:
        """Take the head of a request, which is there now."""
        self._in_body = True
        self._head_is_there()
        # Asked once a connection, and not for those that never send a request.
        self._peer = self._peer.identified()
        self.scope[PEER] = self._peer  # type: ignore[literal-required]
        super().on_headers_complete()
        if len(self.pipeline) > MOST_PIPELINED:
            self.transport.abort()
        if self._last:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """Take the end of a request."""
        self._head_bytes, self._in_body = 0, False
        super().on_message_complete()

    def _is_held(self) -> bool:
        held = self._peer.holds(self.transport.get_extra_info("socket"))
        if held:
            # The kernel does not say when the caller goes after all.
            self._look = self.loop.call_later(LOOK_SECONDS, self._look_again)
        return held

    def _look_again(self) -> None:
        if not self._is_held():
            self.transport.abort()

    def _send_until_close(self) -> None:
        """Let the response end with the connection: HTTP/1.0 knows no chunks."""
        self.cycle.chunked_encoding = False
        self.cycle.expected_content_length = _UNLIMITED  # type: ignore[assignment]

    def _expect_head(self) -> None:
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def _head_is_there(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        self.transport.abort()


def _notice_dead_peers(connection: socket.socket) -> None:
    """Let the kernel find out that the other end is gone: its machine may have died, or the line."""
    options: tuple[tuple[int, int, Any], ...] = (
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _QUIET_SECONDS),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_SECONDS),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES),
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    )
    for level, name, value in options:
        connection.setsockopt(level, name, value)
