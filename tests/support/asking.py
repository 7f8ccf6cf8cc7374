"""Requests as a program of the caller's own would send them: repeated headers, unix sockets, answers that are cut."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.server import Answer, Server
from tests.support.waiting import PATIENCE

Header = tuple[str, str]


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(str(self._path))


@contextmanager
def asked(
    server: Server, method: str, path: str, *headers: Header, body: bytes = b"", unix: Path | None = None
) -> Iterator[http.client.HTTPResponse]:
    """Yield the response while it still comes."""
    connection = UnixConnection(unix) if unix else http.client.HTTPConnection(server.host, server.port, PATIENCE)
    connection.putrequest(method, path, skip_accept_encoding=True)
    for name, value in headers:
        connection.putheader(name, value)
    if body:
        connection.putheader("Content-Length", str(len(body)))
    try:
        connection.endheaders(body or None)
        with connection.getresponse() as response:
            yield response
    finally:
        connection.close()


def ask(
    server: Server, method: str, path: str, *headers: Header, body: bytes = b"", unix: Path | None = None
) -> Answer:
    """Return the whole answer to a request; headers may be repeated."""
    with asked(server, method, path, *headers, body=body, unix=unix) as response:
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, response.read())


def order(server: Server, operation: str, *headers: Header, unix: Path | None = None, **arguments: Any) -> Answer:
    """Ask the API for a run."""
    body = json.dumps({"operation": operation, "arguments": arguments}).encode()
    return ask(server, "POST", "/api/v1/runs", *headers, body=body, unix=unix)


def bearer(token: str) -> Header:
    """Return the header that sends a token."""
    return "Authorization", f"Bearer {token}"


def raw(server: Server, data: bytes) -> bytes:
    """Send bytes, and give all that comes back until the server closes."""
    with socket.create_connection((server.host, server.port), PATIENCE) as connection:
        connection.sendall(data)
        found = b""
        while part := connection.recv(1 << 16):
            found += part
        return found
