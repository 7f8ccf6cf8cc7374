"""Raw HTTP over sockets: many calls at once, bytes with the moment they came, and clients that misbehave."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

_BLOCK = 1 << 18
_PATIENCE = 120.0


class Listens(Protocol):
    """A server of a test."""

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...


@dataclass
class Call:
    """One connection: what came, and at which moment of the monotonic clock how much of it was there."""

    socket: socket.socket
    data: bytearray = field(default_factory=bytearray)
    arrivals: list[tuple[float, int]] = field(default_factory=list)
    ended: bool = False

    @property
    def status(self) -> int:
        """Return the status of the answer, 0 when there is none."""
        words = self.data[:32].split()
        return int(words[1]) if len(words) > 1 else 0

    @property
    def body(self) -> bytes:
        """Return the body as far as it came, chunks put together."""
        head, _, body = bytes(self.data).partition(b"\r\n\r\n")
        return dechunked(body)[0] if b"transfer-encoding: chunked" in head.lower() else body

    @property
    def whole(self) -> bool:
        """True when the answer came in chunks and ended as it should."""
        return self.ended and dechunked(bytes(self.data).partition(b"\r\n\r\n")[2])[1]

    def close(self) -> None:
        self.socket.close()


def call(server: Listens, text: str, *, receive_buffer: int = 0) -> Call:
    """Connect and send; a small `receive_buffer` lets a client that does not read stall early."""
    connection = socket.socket()
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(_PATIENCE)
    connection.connect((server.host, server.port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(text.encode())
    return Call(connection)


def get(server: Listens, path: str, **options: int) -> Call:
    """Send a GET, after whose answer the server is to close."""
    return call(server, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", **options)


def gather(calls: Sequence[Call], until: Callable[[Call], bool] = lambda call: False) -> None:
    """Receive of all calls until each has ended, or `until` is true of it; AssertionError when that takes too long."""
    deadline = time.monotonic() + _PATIENCE
    with selectors.DefaultSelector() as selector:
        for each in calls:
            if not each.ended and not until(each):
                selector.register(each.socket, selectors.EVENT_READ, each)
        while selector.get_map():
            ready = selector.select(1.0)
            now = time.monotonic()
            assert now < deadline, f"{len(selector.get_map())} answers did not come to their end"
            for key, _ in ready:
                each = key.data
                _receive(each, now)
                if each.ended or until(each):
                    selector.unregister(each.socket)
                    if each.ended:
                        each.close()


def _receive(each: Call, now: float) -> None:
    try:
        data = each.socket.recv(_BLOCK)
    except ConnectionResetError:
        data = b""
    each.ended = not data
    each.data += data
    each.arrivals.append((now, len(each.data)))


def dechunked(data: bytes) -> tuple[bytes, bool]:
    """Take chunked coding (RFC 9112, 7.1) off; tell whether the last chunk was there."""
    found: list[bytes] = []
    while True:
        size, separator, data = data.partition(b"\r\n")
        if not separator or not size:
            return b"".join(found), False
        length = int(size, 16)
        if length == 0:
            return b"".join(found), True
        found.append(data[:length])
        data = data[length + 2 :]
