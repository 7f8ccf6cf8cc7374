"""The log and the events of a run: from anywhere on, as they come, and after a connection was cut."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.asking import asked, order, raw
from tests.support.gates import Gate, at_gate, ended
from tests.support.sample import SampleSite
from tests.support.server import Server


@dataclass(frozen=True)
class Watched:
    """A run that was cut off in the middle by two readers: what they had got until then, and what came after."""

    id: str
    log: bytes
    log_rest: bytes
    log_now: bytes
    events: list[bytes]
    events_rest: list[bytes]


@pytest.fixture(scope="module", name="run")
def _run(server: Server, site: SampleSite) -> Watched:
    gate = Gate(site)
    with gate.closed():
        run_id = order(server, "deploy").json["run"]["id"]
        at_gate(server.runs, run_id)
        path = f"/api/v1/runs/{run_id}"
        log, events = b"", b""
        with asked(server, "GET", f"{path}/log?follow=1") as response:
            while b"at the gate\n" not in log:
                log += response.readline()
        # In the middle of a line, as cut connections end.
        log = log[:-5]
        with asked(server, "GET", f"{path}/events") as response:
            while b"\n\n" not in events or events.count(b"\n\n") < 7:
                events += response.readline()
        whole = [each for each in events.split(b"\n\n") if each]
        now = server.get(f"{path}/log").body
        log_rest = asked(server, "GET", f"{path}/log?follow=1&offset={len(log)}")
        events_rest = asked(server, "GET", f"{path}/events", ("Last-Event-ID", _id(whole[-1])))
        first, second = log_rest.__enter__(), events_rest.__enter__()
    rest, more = first.read(), second.read()
    for each in (log_rest, events_rest):
        each.__exit__(None, None, None)
    return Watched(run_id, log, rest, now, whole, [each for each in more.split(b"\n\n") if each])


def _id(event: bytes) -> str:
    return event.split(b"\n")[0].removeprefix(b"id: ").decode()


def _data(event: bytes) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(event.split(b"\ndata: ")[1])
    return data


def test_a_log_taken_up_again_after_a_cut_is_the_rest_exactly(server: Server, run: Watched) -> None:
    whole = server.get(f"/api/v1/runs/{run.id}/log").body
    assert run.log + run.log_rest == whole
    assert whole.endswith(f"run {run.id}: ok, exit code 0\n".encode())
    assert whole.count(b"through it\n") >= 1


def test_without_follow_a_run_that_goes_on_gives_what_there_is(server: Server, run: Watched) -> None:
    whole = server.get(f"/api/v1/runs/{run.id}/log").body
    assert whole.startswith(run.log_now)
    assert run.log_now.startswith(run.log)
    assert len(run.log_now) < len(whole)


def test_any_offset_gives_the_log_from_there(server: Server, run: Watched) -> None:
    path = f"/api/v1/runs/{run.id}/log"
    whole = server.get(path).body
    for offset in (0, 1, 17, len(whole) - 1, len(whole), len(whole) + 1, 1 << 62):
        assert server.get(f"{path}?offset={offset}").body == whole[offset:], offset
        assert server.get(f"{path}?offset={offset}&follow=1").body == whole[offset:], offset
    for wrong in ("-1", "x", "1.5", "", str((1 << 62) + 1), "9" * 30):
        assert server.get(f"{path}?offset={wrong}").status == 422, wrong


def test_events_taken_up_again_are_the_rest_exactly(server: Server, run: Watched) -> None:
    answer = server.get(f"/api/v1/runs/{run.id}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    whole = [each for each in answer.body.split(b"\n\n") if each]
    assert run.events + run.events_rest == whole
    ids = [int(_id(each)) for each in whole]
    assert ids == sorted(set(ids))
    kinds = [each.split(b"\n")[1].removeprefix(b"event: ").decode() for each in whole]
    assert kinds == [_data(each)["event"] for each in whole]
    assert _data(whole[-1])["result"] == "ok"
    assert kinds.count("run-finished") == 1


@pytest.mark.parametrize("last", ["", "x", "-1", "7", "9" * 18, "9" * 19, "1.0", "\xb2"])
def test_an_id_that_is_none_of_ours_still_ends_with_the_run(server: Server, run: Watched, last: str) -> None:
    with asked(server, "GET", f"/api/v1/runs/{run.id}/events", ("Last-Event-ID", last)) as response:
        assert response.status == 200
        events = [each for each in response.read().split(b"\n\n") if each]
    assert _data(events[-1])["result"] == "ok"


def test_http_1_0_gets_the_log_without_chunks_and_the_end_with_the_connection(server: Server, run: Watched) -> None:
    whole = server.get(f"/api/v1/runs/{run.id}/log").body
    for lines in ("", "Host: 127.0.0.1\r\n", "Connection: keep-alive\r\n"):
        answer = raw(server, f"GET /api/v1/runs/{run.id}/log?follow=1 HTTP/1.0\r\n{lines}\r\n".encode())
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b" 200 " in head.split(b"\r\n")[0]
        assert b"transfer-encoding" not in head.lower()
        assert body == whole


def test_requests_that_were_sent_ahead_are_answered_in_order(server: Server, run: Watched) -> None:
    head = "HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    paths = ["/healthz", f"/api/v1/runs/{run.id}/log", "/api/v1/openapi.json", "/nowhere"]
    answer = raw(server, "".join(f"GET {path} {head}\r\n" for path in paths).encode()
        + f"GET /healthz {head}Connection: close\r\n\r\n".encode())  # fmt: skip
    assert [each.split(b" ")[0] for each in answer.split(b"HTTP/1.1 ")[1:]] == [b"200", b"200", b"200", b"404", b"200"]


def test_a_log_of_a_killed_run_ends_and_says_so(server: Server, site: SampleSite) -> None:
    with Gate(site).closed():
        run_id = order(server, "deploy").json["run"]["id"]
        record = at_gate(server.runs, run_id)
        with asked(server, "GET", f"/api/v1/runs/{run_id}/log?follow=1") as response:
            os.kill(record.pid, signal.SIGKILL)
            log = response.read()
    assert log.endswith(f"run {run_id}: interrupted, exit code 1\n".encode())
    assert ended(server.runs, run_id).state == "interrupted"
    assert ended(server.runs, order(server, "deploy").json["run"]["id"]).state == "ok"
