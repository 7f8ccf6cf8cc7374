"""Requests that are sent to the original server and to ours, and the differences that are meant."""

from __future__ import annotations

from dataclasses import dataclass

_NO_METHOD = "only GET and POST deploy: everything else that a web page could send, or a person by mistake, does not"
_STRICT = "the parser is strict about what proxies and servers read differently (request smuggling)"
_LENIENT = "the parser forgives it; nothing more than a plain GET comes of it"
_OPTION = "an option that is overlooked is one that was meant"
_NEW = "an address that the original did not have"
_NAME = "a page whose name was made to resolve to loopback must not deploy"
_PAGE = "pages in a browser on this machine must not deploy"


@dataclass(frozen=True, slots=True)
class Case:
    """A request, and where the responses differ: what the original does, what ours does, and why that is meant.

    Behaviour is written as `STATUS… DEPLOYS FRAMING CONNECTION`; `answers` is how many responses are waited for.
    """

    name: str
    request: bytes
    original: str = ""
    ours: str = ""
    why: str = ""
    answers: int = 1


def ask(line: str, *headers: str, host: str = "127.0.0.1", body: str = "") -> bytes:
    """Write a request."""
    lines = [line, *([f"Host: {host}"] if host else []), *headers]
    return "".join(f"{each}\r\n" for each in [*lines, ""]).encode("latin-1") + body.encode()


def _get(path: str) -> bytes:
    return ask(f"GET {path} HTTP/1.1")


_GET = _get("/deploy")
_DEPLOYS, _NOTHING = "200, 1 deploy, chunked, open", "404, no deploy, open"
_BAD = "400, no deploy, closed"
_REFUSED = "403, no deploy, open"

CASES = (
    # Methods.
    Case("GET", _GET),
    Case("POST", ask("POST /deploy HTTP/1.1", "Content-Length: 0")),
    Case("POST with a body", ask("POST /deploy HTTP/1.1", "Content-Length: 3", body="a=1")),
    Case("POST with chunks", ask("POST /deploy HTTP/1.1", "Transfer-Encoding: chunked", body="3\r\na=1\r\n0\r\n\r\n")),
    Case("HEAD", ask("HEAD /deploy HTTP/1.1"), "200, 1 deploy, until close, open", "405, no deploy, open", _NO_METHOD),
    *(
        Case(method, ask(f"{method} /deploy HTTP/1.1", "Content-Length: 0"), _DEPLOYS, ours, _NO_METHOD)
        for method, ours in (
            *dict.fromkeys(("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"), "405, no deploy, open").items(),
            *dict.fromkeys(("get", "DEPLOY"), _BAD).items(),
        )
    ),
    Case("OPTIONS *", ask("OPTIONS * HTTP/1.1"), "200, no deploy, length, open", _NOTHING, "there is nothing at *"),
    Case("CONNECT", ask("CONNECT 127.0.0.1:80 HTTP/1.1"), _NOTHING, _BAD, _STRICT),
    Case(
        "GET with a body",
        ask("GET /deploy HTTP/1.1", "Content-Length: 3", body="a=1"),
        _DEPLOYS,
        "413, no deploy, closed",
        "the body of a GET means nothing, and is where requests are smuggled",
    ),
    # Paths and queries.
    *(Case(path, _get(path)) for path in ("/deploy?", "/%64eploy", "/deploy?wait=0", "/deploy?on_fail=off")),
    *(
        Case(path, _get(path), _DEPLOYS, "400, no deploy, open", _OPTION)
        for path in ("/deploy?x=1", "/deploy?a?b/c", "/deploy?Wait=1")
    ),
    *(Case(path, _get(path)) for path in ("/", "/deploy/", "//deploy", "/deploy%2F", "/deploy%00", "/deploy;x")),
    *(
        Case(path, _get(path))
        for path in ("/DEPLOY", "/./deploy", "/x/../deploy", "/deploy%20", "/favicon.ico", "/?/deploy")
    ),
    *(Case(f"HEAD {path}", ask(f"HEAD {path} HTTP/1.1")) for path in ("/", "/deploy/")),
    Case("POST elsewhere", ask("POST / HTTP/1.1", "Content-Length: 3", body="a=1")),
    Case("no slash at all", _get("%2Fdeploy")),
    Case("absolute", _get("http://127.0.0.1/deploy")),
    Case("absolute, another name", _get("http://example.org/deploy")),
    Case("an encoding that is none", _get("/deploy%zz"), _BAD, _NOTHING, "it is an address like any other"),
    Case("a byte that is no ASCII", _get("/caf\xe9"), _NOTHING, _BAD, _STRICT),
    Case("a fragment", _get("/deploy#x"), _NOTHING, _DEPLOYS, "a fragment is no part of a path (RFC 3986, 3.5)"),
    *(Case(path, _get(path), _NOTHING, "200, no deploy, length, open", _NEW) for path in ("/healthz", "/readyz")),
    *(Case(path, _get(path), _NOTHING, "200, no deploy, length, open", _NEW) for path in ("/metrics", "/api/v1/runs")),
    # Versions and connections.
    Case("HTTP/1.0", ask("GET /deploy HTTP/1.0", host="")),
    Case("HTTP/1.0 with Host", ask("GET /deploy HTTP/1.0")),
    Case("HTTP/1.0 that would stay", ask("GET /deploy HTTP/1.0", "Connection: keep-alive")),
    Case("HTTP/1.0 elsewhere", ask("GET / HTTP/1.0", host="")),
    Case(
        "HTTP/1.0 elsewhere that would stay",
        ask("GET / HTTP/1.0", "Connection: keep-alive"),
        _NOTHING,
        "404, no deploy, closed",
        "a connection of HTTP/1.0 serves one request",
    ),
    Case("HTTP/0.9", b"GET /deploy\r\n\r\n", _BAD, "505, no deploy, closed", "the status says what is the matter"),
    Case("HTTP/1.2", ask("GET /deploy HTTP/1.2"), _DEPLOYS, _BAD, _STRICT),
    Case("HTTP/2.0", ask("GET /deploy HTTP/2.0")),
    Case("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "404, no deploy, closed", _BAD, _STRICT),
    Case("Connection: close", ask("GET /deploy HTTP/1.1", "Connection: close")),
    Case("an upgrade to HTTP/2", ask("GET /deploy HTTP/1.1", "Connection: Upgrade", "Upgrade: h2c")),
    Case("a range", ask("GET /deploy HTTP/1.1", "Range: bytes=0-3")),
    Case("three at once", _GET + _get("/") + _GET, answers=3),
    Case("three elsewhere at once", _get("/") + _get("/x") + _get("/"), answers=3),
    # Who is meant, and who asks.
    Case("another port of this machine", ask("GET /deploy HTTP/1.1", host="localhost:50024")),
    Case("no Host", ask("GET /deploy HTTP/1.1", host=""), _BAD, _REFUSED, "the same refusal as for every wrong Host"),
    Case("two Hosts", ask("GET /deploy HTTP/1.1", "Host: 127.0.0.1"), _BAD, _REFUSED, "as for every wrong Host"),
    Case("an empty Host", ask("GET /deploy HTTP/1.1", "Host:", host=""), _DEPLOYS, _REFUSED, _NAME),
    Case("another Host", ask("GET /deploy HTTP/1.1", host="example.org"), _DEPLOYS, _REFUSED, _NAME),
    *(
        Case(header, ask("GET /deploy HTTP/1.1", header), _DEPLOYS, _REFUSED, _PAGE)
        for header in (
            "Origin: http://example.org",
            "Origin: null",
            "Referer: http://example.org/",
            "Sec-Fetch-Site: cross-site",
            "Sec-Purpose: prefetch",
            "Access-Control-Request-Method: GET",
        )
    ),
    # What is hardly a request.
    Case("bare line ends", _GET.replace(b"\r", b""), _DEPLOYS, _BAD, _STRICT),
    Case("a folded header", ask("GET /deploy HTTP/1.1", "X-A: b\r\n c"), _DEPLOYS, _BAD, _STRICT),
    Case("a space in a header's name", ask("GET /deploy HTTP/1.1", "X A: b")),
    Case("an empty line first", b"\r\n" + _GET, _BAD, _DEPLOYS, f"{_LENIENT} (RFC 9112, 2.2)"),
    Case("two spaces", ask("GET  /deploy HTTP/1.1"), _BAD, _DEPLOYS, _LENIENT),
    Case("two lengths", ask("POST /deploy HTTP/1.1", "Content-Length: 0", "Content-Length: 1")),
    Case("a negative length", ask("POST /deploy HTTP/1.1", "Content-Length: -1")),
    Case(
        "length and chunks",
        ask("POST /deploy HTTP/1.1", "Content-Length: 3", "Transfer-Encoding: chunked", body="0\r\n\r\n"),
        _DEPLOYS,
        _BAD,
        _STRICT,
    ),
    Case(
        "a coding that is not known",
        ask("POST /deploy HTTP/1.1", "Transfer-Encoding: gzip"),
        "501, no deploy, closed",
        _BAD,
        "the parser has no end of the body to look for",
    ),
    Case(
        "a chunk that is none",
        ask("POST /deploy HTTP/1.1", "Transfer-Encoding: chunked", body="zz\r\n"),
        "200, 1 deploy, chunked, closed",
        _BAD,
        "what does not come whole does not deploy",
    ),
    Case(
        "nonsense behind it",
        _GET + b"NONSENSE\r\n\r\n",
        "200, 1 deploy, chunked, closed",
        "400, 1 deploy, closed",
        "a client that sends no request behind a request is told so at once; the run goes on",
    ),
    Case(
        "empty lines behind it",
        _GET + b"\r\n\r\n",
        "200, 1 deploy, chunked, closed",
        _DEPLOYS,
        f"{_LENIENT} (RFC 9112, 2.2)",
    ),
    Case("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n"),
    Case(
        "a head of 600 KiB",
        ask("GET /deploy HTTP/1.1", f"X-A: {'a' * 600_000}"),
        _DEPLOYS,
        "nothing, no deploy, closed",
        "a head may have 64 KiB and what one read brings; who sends more is cut off",
    ),
)
