"""A request that is sent again under its Idempotency-Key is the same request."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from signal import SIGKILL
from threading import Barrier

import pytest

from tests.support.asking import bearer, order
from tests.support.gates import Gate, at_gate, ended, idle, make_token
from tests.support.sample import SampleSite
from tests.support.server import Answer, Server
from tests.support.waiting import wait_for


@pytest.fixture(autouse=True)
def _one_after_the_other(server: Server) -> None:
    idle(server.runs)


def run_of(answer: Answer) -> str:
    assert answer.status == 202, answer.text
    run_id = answer.json["run"]["id"]
    assert isinstance(run_id, str)
    return run_id


def key(text: str) -> tuple[str, str]:
    return "Idempotency-Key", text


def test_the_same_key_gives_the_same_run_also_when_that_has_ended(server: Server) -> None:
    first = run_of(order(server, "deploy", key("a")))
    assert run_of(order(server, "deploy", key("a"))) == first
    ended(server.runs, first)
    assert run_of(order(server, "deploy", key("a"))) == first
    assert run_of(order(server, "deploy", key("b"))) != first


def test_without_a_key_every_request_is_its_own(server: Server) -> None:
    first = run_of(order(server, "deploy"))
    ended(server.runs, first)
    assert run_of(order(server, "deploy", key(""))) != first


def test_the_same_key_many_times_at_once_makes_one_run(server: Server) -> None:
    before = set(server.runs.ids())
    together = Barrier(16)

    def one(_: int) -> str:
        together.wait()
        return run_of(order(server, "deploy", key("at once")))

    with ThreadPoolExecutor(16) as pool:
        run_ids = set(pool.map(one, range(16)))
    assert len(run_ids) == 1
    assert set(server.runs.ids()) - before == run_ids


def test_the_same_key_for_something_else_is_refused(server: Server, token: str) -> None:
    # Without the mark, which would hold the deploys of the tests that follow.
    first = run_of(order(server, "rollback", bearer(token), key("c"), keep_mark=True))
    ended(server.runs, first)
    before = server.runs.ids()
    for operation, arguments in (("rollback", {"version": "x"}), ("dedupe", {}), ("deploy", {"rebuild": True})):
        answer = order(server, operation, bearer(token), key("c"), **arguments)
        assert (answer.status, first in answer.text) == (422, True)
    assert server.runs.ids() == before
    assert run_of(order(server, "rollback", bearer(token), key("c"), keep_mark=True)) == first


def test_keys_of_different_callers_do_not_meet(server: Server, token: str) -> None:
    other = make_token(server, "other")
    runs = set()
    for headers in ([], [bearer(token)], [bearer(other)]):
        runs.add(run_of(order(server, "deploy", key("d"), *headers)))
        idle(server.runs)
    assert len(runs) == 3


def test_a_key_that_shared_a_waiting_run_stays_with_it(server: Server, site: SampleSite) -> None:
    with Gate(site).closed():
        at_gate(server.runs, run_of(order(server, "deploy", key("e1"))))
        waits = run_of(order(server, "deploy", key("e2")))
        assert run_of(order(server, "deploy", key("e3"))) == waits
    ended(server.runs, waits)
    assert run_of(order(server, "deploy", key("e3"))) == waits
    assert run_of(order(server, "deploy", key("e2"))) == waits


def test_a_key_may_have_255_characters(server: Server) -> None:
    run_of(order(server, "deploy", key("x" * 255)))
    assert order(server, "deploy", key("x" * 256)).status == 422


def _pid(server: Server, run_id: str) -> int:
    return server.runs.read(run_id).pid


def test_a_key_whose_run_was_killed_gives_another_run_and_that_one_from_then_on(
    server: Server, site: SampleSite
) -> None:
    with Gate(site).closed():
        killed = at_gate(server.runs, run_of(order(server, "deploy", key("f"))))
        shared = run_of(order(server, "deploy", key("g")))
        assert run_of(order(server, "deploy", key("h"))) == shared
        for run_id in (shared, killed.id):
            os.kill(wait_for(partial(_pid, server, run_id), f"the process of {run_id}"), SIGKILL)
            assert ended(server.runs, run_id).state == "interrupted"
    again = run_of(order(server, "deploy", key("f")))
    assert again not in (killed.id, shared)
    assert ended(server.runs, again).state != "interrupted"
    assert run_of(order(server, "deploy", key("f"))) == again
    # Who shared a run was not served by it either.
    assert run_of(order(server, "deploy", key("h"))) not in (killed.id, shared)
