"""Asking a web server for a page: within a time limit, without following anything, and never more than a few MiB."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from govma_core.language import tr
from govma_core.text import clean_line

NOT_READY = (502, 503, 504)
"""Statuses by which a gateway, or a site that is just starting, says that nobody is there yet."""

_MOST = 4 << 20
"""Bytes of a page that are looked at."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a web server answers; `host` is the name it is asked for, '' for that of the address."""

    name: str
    port: int
    secure: bool = False
    host: str = ""
    label: str = ""
    """What people call it; '' for the address itself."""

    @classmethod
    def of_url(cls, url: str, host: str = "") -> Address:
        """Take `http://name:port` apart."""
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        return cls(parts.hostname or "", parts.port or (443 if secure else 80), secure, host)

    def __str__(self) -> str:
        name = f"[{self.name}]" if ":" in self.name else self.name
        return f"http{'s' if self.secure else ''}://{name}:{self.port}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came: status, headers by lower-case name (those given twice joined by commas), and the body's beginning."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """Return the body as text; what is not UTF-8 is replaced."""
        return self.body.decode("utf-8", "replace")


class NoAnswerError(Exception):
    """Nothing came, or nothing that is HTTP; the message is a few words on why."""


def ask(address: Address, path: str, *, host: str = "", timeout: float = 10.0) -> Answer:
    """GET a page; NoAnswerError says why there is none after `timeout` seconds for all of it."""
    connection = _connection(address, host or address.host, timeout)
    late = threading.Event()
    reached: list[socket.socket] = []
    limit = threading.Timer(timeout, _end, [connection, reached, late])
    limit.daemon = True
    limit.start()
    try:
        connection.connect()
        # The connection forgets it as soon as it knows that the answer ends with it.
        reached.append(connection.sock)
        if late.is_set():
            raise NoAnswerError(_late(timeout))
        headers = {"User-Agent": "govma-console", "Connection": "close", "Accept": "*/*"}
        name = host or address.host
        connection.request("GET", path, headers=headers | ({"Host": name} if name else {}))
        response = connection.getresponse()
        body = response.read(_MOST)
    except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
        # The timer closes the connection under our hands; what that raises is a matter of the moment.
        raise NoAnswerError(_late(timeout) if late.is_set() or _is_late(error) else _reason(error)) from None
    finally:
        limit.cancel()
        connection.close()
    if late.is_set():
        raise NoAnswerError(_late(timeout))
    if response.length and len(body) < _MOST:
        raise NoAnswerError(tr("the answer was cut after {count} bytes", count=len(body)))
    found: dict[str, str] = {}
    for key, value in response.getheaders():
        key = key.lower()
        found[key] = f"{found[key]}, {value}" if key in found else value
    return Answer(response.status, found, body)


def _connection(address: Address, host: str, timeout: float) -> http.client.HTTPConnection:
    if not address.secure:
        return http.client.HTTPConnection(address.name, address.port, timeout=timeout)
    return _SecureConnection(address, host.partition(":")[0] or address.name, timeout)


class _SecureConnection(http.client.HTTPSConnection):
    """Connects to an address, and expects the certificate of the host it asks for."""

    def __init__(self, address: Address, host: str, timeout: float) -> None:
        super().__init__(address.name, address.port, timeout=timeout)
        self._expected = host

    def connect(self) -> None:
        http.client.HTTPConnection.connect(self)
        self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self._expected)


def _is_late(error: Exception) -> bool:
    """Whether the socket's own limit, which is the same, was quicker than the timer; the kernel's has an errno."""
    return isinstance(error, TimeoutError) and error.errno is None


def _late(timeout: float) -> str:
    return tr("no whole answer within {timeout:g} s", timeout=timeout)


def _end(connection: http.client.HTTPConnection, reached: list[socket.socket], late: threading.Event) -> None:
    late.set()
    for found in (*reached, connection.sock):
        with suppress(OSError, AttributeError):
            found.shutdown(socket.SHUT_RDWR)


def _reason(error: Exception) -> str:
    if isinstance(error, http.client.RemoteDisconnected):
        return tr("the connection was closed without an answer")
    return clean_line(str(getattr(error, "strerror", None) or error)) or type(error).__name__
