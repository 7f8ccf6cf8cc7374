"""Asking for pages: what is no whole answer passes for none."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from govma_core.masking import Mask
from govma_core.promotion.page_checks import failing, failing_already, look
from govma_core.promotion.web_page import Address, NoAnswerError, ask
from govma_core.reporting import Reporter
from govma_core.settings.validate import PageCheck
from tests.support.handlers import QuietHandler, serving
from tests.support.waiting import PATIENCE


@contextmanager
def saying(*parts: bytes | float, then: bytes = b"") -> Iterator[Address]:
    """Answer one request with these bytes, with pauses of so many seconds between them; a second one with `then`."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            answer(*parts)
            if then:
                server.settimeout(1)
                with suppress(TimeoutError):
                    answer(then)

        def answer(*parts: bytes | float) -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                for part in parts:
                    try:
                        connection.sendall(part) if isinstance(part, bytes) else time.sleep(part)
                    except OSError:
                        return

        thread = threading.Thread(target=serve)
        thread.start()
        yield Address("127.0.0.1", server.getsockname()[1])
        thread.join()


def drip(data: bytes) -> list[bytes | float]:
    return [piece for byte in data for piece in (bytes([byte]), 0.05)]


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
CLOSES = b"HTTP/1.1 200 OK\r\n%bConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([HEAD % 1000, b"<h1>"], "cut after 4 bytes"),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"], "IncompleteRead"),
        ([b""], "without an answer"),
        ([b"SSH-2.0-OpenSSH\r\n"], "SSH-2.0-OpenSSH"),
    ],
)
def test_what_is_not_whole_is_no_answer(parts: list[bytes], said: str) -> None:
    with saying(*parts) as address, pytest.raises(NoAnswerError, match=said):
        ask(address, "/", timeout=PATIENCE)


@pytest.mark.parametrize(
    "parts",
    [
        [HEAD % 1000, b"<h1>", 1.0],
        [HEAD % 600, *drip(b"a" * 600)],
        drip(HEAD[:-2] % 2 + b"X: " + b"x" * 600 + b"\r\n\r\nok"),
        # As most servers do when they are asked to: what reads the body has let go of the connection then.
        [CLOSES % b"Content-Length: 600\r\n", *drip(b"a" * 600)],
        [CLOSES % b"", *drip(b"a" * 600)],
        [CLOSES % b"", b"<h1>", 1.0],
    ],
)
def test_what_is_not_whole_in_time_is_no_answer(parts: list[bytes | float]) -> None:
    """Guards the whole of it: dripped, each of these takes half a minute, and never pauses for long."""
    with saying(*parts) as address:
        began = time.monotonic()
        with pytest.raises(NoAnswerError, match=r"no whole answer within 0\.5 s"):
            ask(address, "/", timeout=0.5)
        assert time.monotonic() - began < 20


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(NoAnswerError, match="refused"):
        ask(Address("127.0.0.1", port), "/", timeout=0.5)


@pytest.mark.parametrize(
    ("body", "check", "said"),
    [
        (
            b"<h1>Noticias</h1><b>Fatal error</b>: Uncaught Error in x",
            {"contains": "Noticias"},
            "PHP error: Fatal error",
        ),
        (b"<b>Fatal error</b>: it says", {"contains": "Fatal error"}, ""),
        # What looks for tags in all of it does not come back.
        (b"<b>Fatal error</b>: " + b"<" * 2_000_000, {}, "PHP error: Fatal error"),
        (b"ok", {}, ""),
        (b" \n", {}, "empty page"),
        (b"ok", {"header": "X-Version: 2"}, "has no header X-Version"),
        (b"ok", {"header": "content-length"}, ""),
    ],
)
def test_what_a_page_must_be(body: bytes, check: dict[str, str], said: str) -> None:
    make: Callable[..., PageCheck] = PageCheck
    with saying(HEAD % len(body), body) as address:
        finding = look(address, make(path="/", **check), Mask())
    assert bool(finding) == bool(said)
    assert said in (finding.problem if finding else "")


@pytest.mark.parametrize(
    "said",
    [
        # Longer than what is quoted, than what is looked at, and the more so without its tags.
        "x" * 135 + "hunter2-of-the-db",
        "<i>" * 1355 + "hunter2-of-the-db",
        "denied for hunter2-of-the-db",
    ],
)
@pytest.mark.parametrize("more", ["", "hunter2-of-the-db" * 400])
def test_what_is_quoted_of_a_page_is_masked_before_it_is_cut(said: str, more: str) -> None:
    body = f"<b>Fatal error</b>: {said}{more}".encode()
    with saying(HEAD % len(body), body) as address:
        finding = look(address, PageCheck(path="/"), Mask(["hunter2-of-the-db"]))
    assert finding is not None
    assert "hunt" not in finding.problem
    assert "***" in finding.problem


@pytest.mark.parametrize("trouble", [[3.2, HEAD % 2 + b"ok"], [b""]])
def test_what_is_slow_or_stumbled_once_before_the_switch_did_not_fail_before(trouble: list[bytes | float]) -> None:
    """Guards the verdict after the switch: a page that only was slow must not excuse the new version's failure."""
    check = PageCheck(path="/", timeout=5)
    with saying(*trouble, then=HEAD % 2 + b"ok") as address:
        assert failing_already([address], [check], Reporter(lambda event: None)) == frozenset()


@pytest.mark.parametrize(
    ("status", "patient", "asked", "fails"), [(503, True, 5, False), (503, False, 2, True), (500, True, 2, True)]
)
def test_who_is_not_ready_is_asked_until_he_is(status: int, patient: bool, asked: int, fails: bool) -> None:
    """Guards a version whose pages get ready one after the other; what is wrong is found at once."""
    requests: list[str] = []

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            self.send_response(status if len(requests) < 5 else 200)
            self.end_headers()
            self.wfile.write(b"x")

    with serving(Handler) as port:
        ends = time.monotonic() + 60 if patient else 0.0
        finding = failing([Address("127.0.0.1", port)], [PageCheck(path="/")], Reporter(lambda event: None), ends)
    assert (len(requests), bool(finding)) == (asked, fails)


WINDOWS_PAGE = "São Luís: 5 €".encode("cp1252")


@pytest.mark.parametrize(
    ("header", "body"),
    [
        (b"text/html; charset=iso-8859-1", WINDOWS_PAGE),
        (b'text/html; Charset="windows-1252"', WINDOWS_PAGE),
        (b"text/html", b"<meta charset=latin1>" + WINDOWS_PAGE),
        (b"text/html", b'<meta http-equiv="Content-Type" content="text/html; charset=ISO-8859-1">' + WINDOWS_PAGE),
        (b"text/xml", b'<?xml version="1.0" encoding="ISO-8859-1"?>' + WINDOWS_PAGE),
        # The header is right where the page says something else, as are the marks of Unicode where the header does.
        (b"text/html; charset=iso-8859-1", b"<meta charset=utf-8>" + WINDOWS_PAGE),
        (b"text/html; charset=iso-8859-1", "São Luís: 5 €".encode("utf-8-sig")),
        (b"text/html; charset=iso-8859-1", "São Luís: 5 €".encode("utf-16")),
        (b"text/html", "São Luís: 5 €".encode()),
        # Names that are no charset, or none of text, are no fault of this program's.
        (b"text/html; charset=nonsense", "São Luís: 5 €".encode()),
        (b"text/html; charset=hex", "São Luís: 5 €".encode()),
        (b"text/html; charset=a\xff", "São Luís: 5 €".encode()),
    ],
)
def test_text_is_compared_in_the_charset_of_the_page(header: bytes, body: bytes) -> None:
    for check in (PageCheck(path="/", contains="São Luís: 5 €"), PageCheck(path="/", lacks="Ã")):
        with saying(HEAD[:-2] % len(body) + b"Content-Type: " + header + b"\r\n\r\n", body) as address:
            assert look(address, check, Mask()) is None


@pytest.mark.parametrize("charset", ["utf-8", "latin-1"])
def test_a_header_is_compared_in_utf_8_where_it_is_that(charset: str) -> None:
    head = HEAD[:-2] % 2 + "X-Title: São Luís\r\n\r\n".encode(charset)
    with saying(head, b"ok") as address:
        assert look(address, PageCheck(path="/", header="X-Title: São"), Mask()) is None
