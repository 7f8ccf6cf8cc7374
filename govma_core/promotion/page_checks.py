"""Whether pages answer as the settings say they must."""

from __future__ import annotations

import codecs
import http.client
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from govma_core.reporting import Reporter
from govma_core.settings.validate import PageCheck
from govma_core.text.clean import clean_line
from govma_core.text.language import tr

NOT_READY = (502, 503, 504)
"""Statuses by which a gateway, or a site that is just starting, says that it is not ready yet."""

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
    received: dict[str, str] = {}
    for key, value in response.getheaders():
        key, value = key.lower(), _header_text(value)
        received[key] = f"{received[key]}, {value}" if key in received else value
    return Answer(response.status, received, body)


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


DEFAULT = (PageCheck(path="/"),)
"""What is looked at when the settings name nothing: the home page."""

_PAUSE = 0.1
_LONGEST = 160
_CONSIDERED = 4096
_AT_ONCE = 16
# Without a php.ini PHP shows its errors in the page, and answers 200.
_PHP_ERROR = re.compile(r"(?:<b>(?:Fatal|Parse) error</b>:|^(?:PHP )?(?:Fatal|Parse) error: ).*", re.MULTILINE)
_TAG = re.compile(r"<[^>]*>")


@dataclass(frozen=True, slots=True)
class Finding:
    """A check that failed, and how; `ready` is False while nothing answers, or a gateway for a site not ready yet."""

    address: Address
    check: PageCheck
    problem: str
    ready: bool = True

    @property
    def about(self) -> tuple[Address, PageCheck]:
        """Return what was asked of whom."""
        return self.address, self.check

    def sentence(self) -> str:
        """Say which page it is about, of whom, and what it did."""
        whose = tr(" of {label}", label=self.address.label) if self.address.label else ""
        return f"{self.check.host}{self.check.path}{whose} {self.problem}"


def look(address: Address, check: PageCheck, mask: Callable[[str], str]) -> Finding | None:
    """Ask for one page; None when it is as it must be. What is quoted of it went through `mask`."""
    try:
        answer = ask(address, check.path, host=check.host, timeout=check.timeout)
    except NoAnswerError as error:
        return Finding(address, check, tr("did not answer: {error}", error=error), ready=False)
    problem = _problem(check, answer, mask)
    return Finding(address, check, problem, ready=answer.status not in NOT_READY) if problem else None


def failing(
    addresses: Sequence[Address], checks: Sequence[PageCheck], reporter: Reporter, ends: float = 0.0
) -> list[Finding]:
    """Ask all addresses for all pages, each once more when it fails; give what is not as it must be.

    A site that is not ready yet is asked again until `ends` (time.monotonic()). RunCancelled as soon as a cancellation
    is requested.
    """
    findings = []
    for address in addresses:
        for check in checks:
            with reporter.cancellation.interruptible():
                finding = _twice(address, check, reporter)
                while finding and not finding.ready and time.monotonic() < ends:
                    time.sleep(_PAUSE)
                    finding = look(address, check, reporter.mask)
            if finding:
                findings.append(finding)
    return findings


def failing_already(
    addresses: Sequence[Address], checks: Sequence[PageCheck], reporter: Reporter
) -> frozenset[tuple[Address, PageCheck]]:
    """Ask all addresses for all pages at once, as patiently as `failing` does, and give what fails."""
    pairs = [(address, check) for address in addresses for check in checks]
    if not pairs:
        return frozenset()
    with ThreadPoolExecutor(min(len(pairs), _AT_ONCE)) as pool:
        findings = pool.map(lambda pair: _twice(pair[0], pair[1], reporter), pairs)
        return frozenset(finding.about for finding in findings if finding)


def _twice(address: Address, check: PageCheck, reporter: Reporter) -> Finding | None:
    return look(address, check, reporter.mask) and look(address, check, reporter.mask)


def sentence_of(findings: Iterable[Finding]) -> str:
    """Return findings in one sentence."""
    return "; ".join(finding.sentence() for finding in findings)


def _problem(check: PageCheck, answer: Answer, mask: Callable[[str], str]) -> str:
    """Say what is wrong with an answer, '' when nothing is."""
    text = answer.text
    error = _PHP_ERROR.search(text)
    if error and not (check.contains and check.contains in error.group()):
        return tr(
            "answered {status} with a PHP error: {short}", status=answer.status, short=_short(error.group(), mask)
        )
    if answer.status != check.status:
        place = answer.headers.get("location", "")
        return tr(
            "answered {status}{more}, not {status2}",
            status=answer.status,
            more=tr(" (to {short})", short=_short(place, mask)) if place else "",
            status2=check.status,
        )
    if check.status == 200 and not answer.body.strip():
        return tr("answered 200 with an empty page")
    if check.contains and check.contains not in text:
        return tr("does not contain {contains!r}", contains=check.contains)
    if check.lacks and check.lacks in text:
        return tr("contains {lacks!r}, which it must not", lacks=check.lacks)
    return _header_problem(check.header, answer, mask)


def _header_problem(expected: str, answer: Answer, mask: Callable[[str], str]) -> str:
    name, _, value = (part.strip() for part in expected.partition(":"))
    if not name:
        return ""
    value_sent = answer.headers.get(name.lower())
    if value_sent is None:
        return tr("has no header {name}", name=name)
    return (
        tr("has {name}: {short}, not {value!r}", name=name, short=_short(value_sent, mask), value=value)
        if value not in value_sent
        else ""
    )


def _short(text: str, mask: Callable[[str], str]) -> str:
    """Return the beginning of what a page said. A secret that was cut in two could not be masked."""
    # A page of four million `<` would keep the search for tags busy for hours.
    text = text if len(text) <= _CONSIDERED else text[:_CONSIDERED] + "…"
    text = mask(clean_line(" ".join(_TAG.sub("", text).split())))
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
