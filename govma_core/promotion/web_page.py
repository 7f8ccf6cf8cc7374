"""One page asked for over HTTP: where, how long, what came, and whether a cache gave it."""

from __future__ import annotations

import codecs
import http.client
import re
import secrets
import socket
import ssl
import threading
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from govma_core.text.clean import clean_line
from govma_core.text.language import tr

Headers = Sequence[tuple[str, str]]
"""Names and values of headers."""

_MOST = 4 << 20
"""Bytes of a page that are looked at."""

_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
_HIT = re.compile(r"\b(?:hit|stale|updating)\b", re.IGNORECASE)
"""How nginx, Varnish, Squid and content delivery networks say so, in headers with `cache` in their name."""


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
        """Return the body as text, in the charset that the answer names; what does not fit that is replaced."""
        return self.body.decode(_charset(self), "replace")


_BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_CHARSET = re.compile(r"""charset\s*=\s*["']?([^"'\s;,/>]+)""", re.IGNORECASE)
_CHARSET_IN_PAGE = re.compile(
    rb"""<(?:meta\s[^>]*?charset|\?xml\s[^>]*?encoding)\s*=\s*["']?([\w:.-]+)""", re.IGNORECASE
)
_HEAD = 1024
"""Bytes within which a page names its own charset, as HTML has it."""


def _charset(answer: Answer) -> str:
    """Return the charset that an answer names, in the order of browsers: a mark, the header, the page; else UTF-8."""
    for mark, name in _BYTE_ORDER_MARKS.items():
        if answer.body.startswith(mark):
            return name
    header = _CHARSET.search(answer.headers.get("content-type", ""))
    page = _CHARSET_IN_PAGE.search(answer.body[:_HEAD])
    name = header[1] if header else page[1].decode("ascii", "replace") if page else "utf-8"
    try:
        "".encode(name)
    except (LookupError, ValueError):
        return "utf-8"
    # Browsers read both as the larger one.
    return "cp1252" if codecs.lookup(name).name in ("iso8859-1", "ascii") else name


class NoAnswerError(Exception):
    """Nothing came, or nothing that is HTTP; the message is a few words on why."""


_HEADERS = {
    **{"User-Agent": "govma-console", "Connection": "close", "Accept": "*/*", "Accept-Encoding": "identity"},
    **{"Cache-Control": "no-cache", "Pragma": "no-cache"},
}


def ask(
    address: Address,
    path: str,
    *,
    host: str = "",
    headers: Headers = (),
    timeout: float = 10.0,
    past_caches: bool = False,
) -> Answer:
    """GET a page; NoAnswerError says why there is none after `timeout` seconds for all of it.

    `headers` are sent as well. With `past_caches` it is asked for with a query of its own, by which caches tell pages
    apart.
    """
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
        name = host or address.host
        query = f"{'&' if '?' in path else '?'}govma={secrets.token_hex(8)}" if past_caches else ""
        # In the spelling of those above, so that they take the place of such.
        more = {key.title(): value.encode("utf-8", "surrogateescape") for key, value in headers}
        sent: dict[str, str | bytes] = {**_HEADERS, **({"Host": name} if name else {}), **more}
        connection.request("GET", path + query, headers=sent)
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
    received: dict[str, str] = {}
    for key, value in response.getheaders():
        key, value = key.lower(), _header_text(value)
        received[key] = f"{received[key]}, {value}" if key in received else value
    return Answer(response.status, received, _decoded(body, received.get("content-encoding", "")))


def _decoded(body: bytes, encoding: str) -> bytes:
    """Return a body as it was before a server compressed it, though it was asked not to."""
    if encoding.lower() in ("", "identity"):
        return body
    if encoding.lower() in ("gzip", "x-gzip", "deflate"):
        with suppress(zlib.error):
            return zlib.decompressobj(_GZIP_OR_ZLIB).decompress(body, _MOST)
    raise NoAnswerError(tr("the answer is compressed ({encoding}) and cannot be read", encoding=clean_line(encoding)))


def cache_of(answer: Answer) -> str:
    """Return the header by which an answer tells that it comes from a cache; '' when none does."""
    for name, value in answer.headers.items():
        tells_hit = "cache" in name and name != "cache-control" and _HIT.search(value)
        if tells_hit or (name == "age" and value.strip().strip("0")):
            return f"{name}: {clean_line(value)}"
    return ""


def _header_text(value: str) -> str:
    """Return a header's value, which http.client takes for Latin-1, as UTF-8 where it is that."""
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value


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
    for connected in (*reached, connection.sock):
        with suppress(OSError, AttributeError):
            connected.shutdown(socket.SHUT_RDWR)


def _reason(error: Exception) -> str:
    if isinstance(error, http.client.RemoteDisconnected):
        return tr("the connection was closed without an answer")
    return clean_line(str(getattr(error, "strerror", None) or error).strip()) or type(error).__name__
