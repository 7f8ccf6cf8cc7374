"""How much one caller may ask for, and how slowly."""

from __future__ import annotations

import re
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from govma_console.server.connection import HEAD_SECONDS
from govma_console.server.middleware import BODY_BYTES, BODY_SECONDS
from tests.support.asking import ask, asked, bearer, order, raw
from tests.support.gates import Gate, at_gate, ended, held_deploy, make_token, shared_site
from tests.support.sample import create_sample
from tests.support.server import Server
from tests.support.waiting import wait_for

HEAD = b"POST /api/v1/runs HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@pytest.fixture(scope="module", name="server")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(shared_site(tmp_path_factory, "limits"), requests_per_minute=100_000) as server:
        yield server
        assert server.runs.ids() == []


def test_more_runs_than_may_wait_are_sent_away(tmp_path: Path) -> None:
    site = create_sample(tmp_path / "site")
    gate = Gate(site)
    with Server(site, queue="each", max_waiting=2, **gate.settings) as server, gate.closed():
        runs = [order(server, "deploy") for _ in range(3)]
        assert [each.status for each in runs] == [202] * 3
        for answer in (order(server, "deploy"), ask(server, "GET", "/deploy")):
            assert (answer.status, answer.headers["retry-after"]) == (429, "30")
            assert "max_waiting" in answer.text
        assert len(server.get("/api/v1/status").json["waiting"]) <= 2
        token = bearer(make_token(server))
        at_gate(server.runs, runs[0].json["run"]["id"])
        for answer in reversed(runs):
            run_id = answer.json["run"]["id"]
            assert ask(server, "POST", f"/api/v1/runs/{run_id}/cancel", token).status == 202
            ended(server.runs, run_id)


def test_a_caller_asks_so_often_a_minute_and_is_told_when_to_come_again(tmp_path: Path) -> None:
    with Server(create_sample(tmp_path / "site"), requests_per_minute=5) as server:
        answers = [server.get("/healthz") for _ in range(7)]
        assert [each.status for each in answers[:5]] == [200] * 5
        assert answers[-1].status == 429
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 13
        assert "requests_per_minute" in answers[-1].text
        # One line, not as many as somebody likes.
        assert server.said().count("(429)") == 1
        assert server.runs.ids() == []


def test_no_more_logs_than_may_are_sent_at_the_same_time(tmp_path: Path) -> None:
    with held_deploy(create_sample(tmp_path / "site"), max_streams=2) as (server, run_id):
        path = f"/api/v1/runs/{run_id}"
        with asked(server, "GET", f"{path}/log?follow=1"), asked(server, "GET", f"{path}/events"):
            before = server.runs.ids()
            for answer in (server.get(f"{path}/log"), ask(server, "GET", "/deploy")):
                assert (answer.status, "max_streams" in answer.text) == (503, True)
            assert server.runs.ids() == before
            assert server.get(path).status == 200


def test_a_request_that_comes_in_while_the_server_stops_is_told_to_come_again(tmp_path: Path) -> None:
    site = create_sample(tmp_path / "site")
    gate = Gate(site)
    body = b'{"operation": "deploy"}'
    with Server(site, **gate.settings) as server:
        with gate.closed(), socket.create_connection((server.host, server.port), 30) as connection:
            run_id = order(server, "deploy").json["run"]["id"]
            at_gate(server.runs, run_id)
            connection.sendall(HEAD + b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % len(body))
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 100 ")
            server.process.send_signal(signal.SIGTERM)
            wait_for(lambda: "Stopping when the current run" in server.said(), "the server's stop")
            connection.sendall(body)
            answer = connection.recv(1 << 16)
        assert answer.startswith(b"HTTP/1.1 503 "), answer
        assert b"retry-after: 30" in answer.lower()
        assert server.process.wait(60) == 0
        assert server.runs.ids() == [run_id]
        assert server.runs.read(run_id).state == "ok"


def test_a_body_of_the_api_has_64_kib_at_most(server: Server) -> None:
    full = b'{"operation": "none"}'.ljust(BODY_BYTES)
    assert ask(server, "POST", "/api/v1/runs", body=full).status == 422
    answer = ask(server, "POST", "/api/v1/runs", body=full + b" ")
    assert (answer.status, str(BODY_BYTES) in answer.json["error"]) == (413, True)
    chunks = b"".join(b"8000\r\n" + b" " * 0x8000 + b"\r\n" for _ in range(3)) + b"0\r\n\r\n"
    assert b" 413 " in raw(server, HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)[:20]
    # Nobody has to send a body first to hear that it is too large.
    waits = HEAD + b"Content-Length: 1000000\r\nExpect: 100-continue\r\n\r\n"
    assert raw(server, waits).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("path", ["/deploy", "/api/v1/runs", "/healthz"])
def test_a_get_has_no_body(server: Server, path: str) -> None:
    assert ask(server, "GET", path, body=b"x").status == 413
    head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    assert raw(server, head.encode()).startswith(b"HTTP/1.1 413 ")


def test_a_post_of_deploy_with_too_large_a_body_deploys_nothing(server: Server) -> None:
    assert ask(server, "POST", "/deploy", body=b" " * (BODY_BYTES + 1)).status == 413
    chunk = b"11000\r\n" + b" " * 0x11000 + b"\r\n0\r\n\r\n"
    head = b"POST /deploy HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert b" 413 " in raw(server, head + chunk)[:20]


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST /deploy HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /deploy HTTP/1.1\nHost : 127.0.0.1\n\n",
        b"GET /deploy\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /deploy HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n",
        b"DEPLOY /deploy HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    ],
)
def test_what_is_no_proper_http_starts_nothing_and_the_connection_ends(server: Server, request_: bytes) -> None:
    answer = raw(server, request_)
    assert answer == b"" or re.match(rb"HTTP/1\.1 [45]\d\d ", answer)


def _pour(server: Server, part: bytes, most: int) -> int:
    """Send without end; give after how many bytes the server had enough."""
    sent = 0
    with socket.create_connection((server.host, server.port), 30) as connection, suppress(OSError):
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        while sent < most:
            connection.sendall(part)
            sent += len(part)
    return sent


def test_a_head_without_end_is_cut_off_and_takes_no_memory(server: Server) -> None:
    before = server.memory()
    line = b"X-More: " + b"x" * 8000 + b"\r\n"
    one = b"x" * 8192
    with ThreadPoolExecutor(8) as pool:
        sent = list(pool.map(lambda part: _pour(server, part, 64 << 20), [line, one] * 4))
    # What the kernel's buffers hold counts as sent.
    assert max(sent) < 32 << 20
    assert server.memory() - before < 24
    assert server.get("/healthz").status == 200


def test_requests_that_come_faster_than_responses_are_taken_take_no_memory(server: Server) -> None:
    head = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    with socket.create_connection((server.host, server.port), 30) as connection:
        connection.sendall((head + b"\r\n") * 5)
        responses = b""
        while responses.count(b"HTTP/1.1 200 ") < 5:
            responses += connection.recv(1 << 16)
    before = server.memory()
    assert _pour(server, (b"\r\n" + head) * 6000, 64 << 20) < 16 << 20
    assert server.memory() - before < 64
    assert server.get("/healthz").status == 200


def _lasts(server: Server, start: bytes, drip: bytes = b"") -> tuple[float, bytes]:
    """Return how long a connection lasts that sends this, and then a byte now and again; and the response.

    It is the server that ends it, or pytest's time limit.
    """
    began = time.monotonic()
    response = b""
    with socket.create_connection((server.host, server.port), 0.5) as connection, suppress(ConnectionError):
        connection.sendall(start)
        while True:
            try:
                part = connection.recv(1 << 16)
            except TimeoutError:
                connection.sendall(drip)
                continue
            if not part:
                break
            response += part
    return time.monotonic() - began, response


def test_who_is_too_slow_is_cut_off_after_ten_seconds_and_others_are_served_meanwhile(server: Server) -> None:
    body = HEAD + b"Content-Length: 100\r\n\r\n"
    deploy = b"POST /deploy HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n"
    silent = [(b"", b""), (b"GET /deploy HTTP/1.1\r\n", b""), (b"GET /", b"x"), (b"GET /deploy HTTP/1.1\r\nX: ", b"x")]
    slow = [(body, b""), (body + b" ", b" "), (deploy, b""), (deploy, b"x")]
    assert HEAD_SECONDS == BODY_SECONDS == 10
    before = server.descriptors()
    with ThreadPoolExecutor(16) as pool:
        waiting = [pool.submit(_lasts, server, *each) for each in silent + slow]
        while not all(each.done() for each in waiting):
            assert server.get("/healthz").status == 200
            time.sleep(0.25)
        lasted = [each.result() for each in waiting]
    # How much longer it takes than that is the machine's.
    assert all(seconds > 9.5 for seconds, _ in lasted), lasted
    assert [response for _, response in lasted[: len(silent)]] == [b""] * len(silent)
    assert [response[:13] for _, response in lasted[len(silent) :]] == [b"HTTP/1.1 408 "] * len(slow)
    assert server.descriptors() <= before + 1
