"""Through a proxy everything takes a token: who asks there may be anywhere, though the connection is this machine's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from govma_console.server.openapi import load_document
from tests.support.asking import Header, ask, bearer, order
from tests.support.gates import ended, idle, make_token, shared_site
from tests.support.sample import SampleSite
from tests.support.server import Server

HEADERS = [
    ("Forwarded", "for=10.0.0.7;proto=https"),
    ("X-Forwarded-For", "10.0.0.7"),
    ("X-Forwarded-Host", "portal.example.org"),
    ("X-Real-IP", "10.0.0.7"),
    ("Via", "1.1 proxy"),
]
PUBLIC = ("/healthz", "/readyz", "/api/v1/openapi.json")


@pytest.fixture(scope="module", name="site")
def _site(tmp_path_factory: pytest.TempPathFactory) -> SampleSite:
    return shared_site(tmp_path_factory, "forwarded")


@pytest.fixture(scope="module", name="server")
def _server(site: SampleSite) -> Iterator[Server]:
    with Server(site, requests_per_minute=100_000, unix_socket=str(site.root / "s.sock")) as server:
        yield server
        idle(server.runs)


@pytest.fixture(scope="module", name="token")
def _token(server: Server) -> Header:
    return bearer(make_token(server))


@pytest.mark.parametrize(("name", "value"), [*HEADERS, *((name, "") for name, _ in HEADERS)])
def test_a_request_with_any_proxy_header_takes_a_token(server: Server, token: Header, name: str, value: str) -> None:
    header = (name, value)
    before = server.runs.ids()
    assert ask(server, "GET", "/api/v1/status").status == 200
    for answer in (
        ask(server, "GET", "/deploy", header),
        ask(server, "POST", "/deploy", header),
        ask(server, "GET", "/api/v1/status", header),
        order(server, "deploy", header),
    ):
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert "through a proxy, this takes a token" in answer.text
    assert server.runs.ids() == before
    assert ask(server, "GET", "/api/v1/status", header, token).status == 200
    assert ask(server, "POST", "/api/v1/release", header, token).status == 200


def test_a_proxy_that_sends_a_token_deploys(server: Server, token: Header) -> None:
    record = ended(server.runs, order(server, "deploy", *HEADERS, token).json["run"]["id"])
    assert (record.state, record.by) == ("ok", "ci")


def test_by_the_unix_socket_a_proxy_takes_a_token_too(server: Server, site: SampleSite, token: Header) -> None:
    """Guards against a web server of unix_group, or root, that passes on what others ask for."""
    unix: Path = site.root / "s.sock"
    before = server.runs.ids()
    assert ask(server, "POST", "/api/v1/release", unix=unix).status == 200
    for header in HEADERS:
        for answer in (
            ask(server, "POST", "/api/v1/release", header, unix=unix),
            ask(server, "GET", "/api/v1/status", header, unix=unix),
            order(server, "rollback", header, unix=unix),
        ):
            assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer"), header
    assert server.runs.ids() == before
    assert ask(server, "POST", "/api/v1/release", *HEADERS, token, unix=unix).status == 200


def test_every_address_but_the_public_ones_takes_a_token_through_a_proxy(server: Server) -> None:
    """Guards each address there is, and those to come: what a new one tells is not for everybody by oversight."""
    before = server.runs.ids()
    for path, methods in ({"/metrics": ["get"]} | load_document()["paths"]).items():
        for method in methods:
            answer = ask(server, method.upper(), path.replace("{id}", "none"), HEADERS[1], body=b"")
            # A body that is none is looked at first where what may be asked for depends on it.
            assert answer.status == (422 if (method, path) == ("post", "/api/v1/runs") else 401), (method, path)
    for path in PUBLIC:
        assert ask(server, "GET", path, HEADERS[1]).status == 200, path
    assert server.runs.ids() == before
