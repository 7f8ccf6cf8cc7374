"""Asking for a page past caches, and reading what comes compressed though it was not asked for."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from govma_core.promotion.page_checks import failing, failing_already
from govma_core.promotion.web_page import Address, NoAnswerError, ask, cache_of
from govma_core.reporting import Reporter
from govma_core.settings.validate import PageCheck
from tests.support.handlers import QuietHandler, serving


class Asked:
    """What a server was asked for: paths, and the headers of the last request."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.headers: Mapping[str, str] = {}


@contextmanager
def answering(headers: Mapping[str, str], body: bytes = b"page") -> Iterator[tuple[Address, Asked]]:
    asked = Asked()

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            asked.paths.append(self.path)
            asked.headers = dict(self.headers.items())
            self.send_response(200)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    with serving(Handler) as port:
        yield Address("127.0.0.1", port), asked


def test_past_caches_each_request_has_a_query_of_its_own() -> None:
    """Guards against a cache that ignores the headers of requests, as most do: it tells pages apart by their query."""
    with answering({}) as (address, asked):
        ask(address, "/a")
        ask(address, "/a", past_caches=True)
        ask(address, "/a?b=1", past_caches=True)
        ask(address, "/a?b=1", past_caches=True)
    plain, first, second, third = asked.paths
    assert plain == "/a"
    assert first.startswith("/a?govma=")
    assert second.startswith("/a?b=1&govma=")
    assert second != third
    assert asked.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP", "deflate", "identity"])
def test_a_compressed_answer_is_read(encoding: str) -> None:
    body = {"deflate": zlib.compress(b"page"), "identity": b"page"}.get(encoding, gzip.compress(b"page"))
    with answering({"Content-Encoding": encoding}, body) as (address, asked):
        assert ask(address, "/").text == "page"
    assert asked.headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(("encoding", "body"), [("br", b"\x0b\x02\x80page\x03"), ("gzip", b"page")])
def test_one_that_cannot_be_read_is_no_answer(encoding: str, body: bytes) -> None:
    with (
        answering({"Content-Encoding": encoding}, body) as (address, _),
        pytest.raises(NoAnswerError, match=rf"compressed \({encoding}\) and cannot be read"),
    ):
        ask(address, "/")


def test_what_is_small_and_compressed_fills_no_memory() -> None:
    with answering({"Content-Encoding": "gzip"}, gzip.compress(bytes(50_000_000))) as (address, _):
        assert len(ask(address, "/").body) == 4 << 20


@pytest.mark.parametrize(
    ("name", "value", "is_cached"),
    [
        ("X-Cache", "HIT", True),
        ("X-Cache", "HIT from proxy.example", True),
        ("X-Cache-Status", "STALE", True),
        ("X-FastCGI-Cache", "UPDATING", True),
        ("CF-Cache-Status", "HIT", True),
        ("Cache-Status", "ExampleCache; hit; ttl=30", True),
        ("Age", "3", True),
        ("Age", "0", False),
        ("X-Cache", "MISS", False),
        ("X-Cache", "miss, no-hits-here", False),
        ("X-Cache-Status", "BYPASS", False),
        ("Cache-Control", "max-age=60, stale-while-revalidate=30", False),
        ("X-Hit", "HIT", False),
    ],
)
def test_how_an_answer_tells_that_it_comes_from_a_cache(name: str, value: str, is_cached: bool) -> None:
    """Guards the judgement of a new version against pages of the one before, and of pages that no cache gave."""
    check = PageCheck(path="/", contains="page")
    with answering({name: value}) as (address, _):
        assert cache_of(ask(address, "/")) == (f"{name.lower()}: {value}" if is_cached else "")
        reporter = Reporter(lambda event: None)
        findings = failing([address], [check], reporter, past_caches=True)
        assert [f.problem for f in findings] == (
            [f"came from a cache ({name.lower()}: {value}), which tells nothing of the version"] if is_cached else []
        )
        assert not any(finding.tells for finding in findings), "nobody is sent back for it"
        assert not failing_already([address], [check], reporter)
        assert not failing([address], [check], reporter), "a container of its own has no cache before it"
