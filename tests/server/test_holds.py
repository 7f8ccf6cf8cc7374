"""Held deploys over HTTP: 423 at once and no run, or at the end of the run that found its commit held."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from govma_core.versions.holds import HoldStore
from tests.server.test_metrics import numbers
from tests.server.test_webhooks import deliver, push, signature
from tests.support.asking import ask, bearer, order
from tests.support.command import Command
from tests.support.gates import Gate, at_gate, ended, idle
from tests.support.sample import SampleSite
from tests.support.server import Answer, Server


@pytest.fixture(autouse=True)
def _holds(server: Server) -> Iterator[HoldStore]:
    store = HoldStore(server.settings.state_dir)
    yield store
    idle(server.runs)
    store.release()


def post(server: Server, path: str, token: str, **body: str) -> Answer:
    return ask(server, "POST", f"/api/v1/{path}", bearer(token), body=json.dumps(body).encode())


def test_while_all_deploys_are_held_each_way_to_ask_for_one_gets_423_and_no_run(
    server: Server, site: SampleSite, token: str
) -> None:
    (site.root / "hook-secret").write_bytes(b"secret")
    (site.root / "hook-secret").chmod(0o600)
    hold = post(server, "hold", token, reason="election night", **{"for": "2h"}).json
    assert (hold["by"], hold["reason"], round(hold["until"] - hold["at"])) == ("ci", "election night", 7200)
    before = server.runs.ids()
    answers = [
        server.get("/deploy"),
        server.get("/deploy?wait=1"),
        order(server, "deploy"),
        order(server, "deploy", bearer(token), ref="main", force=False),
        deliver(server, "github", push(), signature("github", push(), b"secret")),
    ]
    for answer in answers:
        assert answer.status == 423, answer.text
        assert "Deploys are held by ci since" in answer.text
        assert "election night" in answer.text
        assert f"govma-console --config {site.config_file} release" in answer.text
        assert 7000 < int(answer.headers["retry-after"]) <= 7200
    assert answers[0].text.startswith("deploy failed: ")
    assert list(answers[2].json) == ["error"]
    trigger = Command(site.config_file, site.state_dir).run("trigger", server.url)
    assert (trigger.code, "election night" in trigger.err) == (5, True)
    assert server.runs.ids() == before
    assert order(server, "deploy", force=True).status == 401
    assert server.runs.ids() == before
    assert server.get("/api/v1/status").json["holds"] == {"by_hand": hold, "commits": []}
    assert numbers(server)["govma_hold", (("of", "all"),)] == 1
    forced = order(server, "deploy", bearer(token), force=True)
    record = ended(server.runs, forced.json["run"]["id"])
    assert (record.state, record.arguments["force"]) == ("ok", True)
    assert post(server, "release", token).json == {"released": [hold]}
    assert post(server, "release", token).json == {"released": []}
    assert ended(server.runs, order(server, "deploy").json["run"]["id"]).state == "ok"


def test_holding_and_releasing_take_a_token_and_make_sense(server: Server, token: str) -> None:
    for path in ("hold", "release"):
        assert ask(server, "POST", f"/api/v1/{path}", body=b"{}").status == 401
    for body in (b"", b"[]", b'{"more": 1}', b'{"reason": ""}', b'{"reason": 1}', b'{"for": "soon"}', b'{"for": 2}'):
        answer = ask(server, "POST", "/api/v1/hold", bearer(token), body=body)
        assert (answer.status, list(answer.json)) == (422, ["error"]), body
    assert ask(server, "POST", "/api/v1/release?commit=abc", bearer(token)).status == 422
    assert server.get("/api/v1/hold").json == {"by_hand": None, "commits": []}
    assert not HoldStore(server.settings.state_dir).read()


def test_a_commit_that_was_rolled_back_from_is_found_held_in_the_run(
    server: Server, site: SampleSite, token: str
) -> None:
    site.commit({"data/html/mau.txt": "x"}, "Mau")
    bad = ended(server.runs, order(server, "deploy").json["run"]["id"])
    back = ended(server.runs, order(server, "rollback", bearer(token)).json["run"]["id"])
    (hold,) = server.get("/api/v1/status").json["holds"]["commits"]
    assert (hold["commit"], hold["version"], hold["by"], hold["run"]) == (bad.commit, bad.version, "ci", back.id)
    streamed = server.get("/deploy")
    assert streamed.status == 200
    assert f"deploy failed: Deploys of commit {bad.commit[:9]} are held by ci" in streamed.text
    assert streamed.text.endswith("refused, exit code 5\n")
    waited = server.get("/deploy?wait=1")
    assert (waited.status, f"commit {bad.commit[:9]} are held" in waited.text) == (423, True)
    assert server.get("/api/v1/status").json["current"] == back.version
    live = server.get("/api/v1/history?limit=2").json["history"]
    assert [(span["version"], span["how"], span["by"]) for span in live] == [
        (back.version, "rollback", "ci"),
        (bad.version, "deploy", "root"),
    ]
    assert (live[0]["until"], live[1]["until"]) == (None, live[0]["since"])
    marks = {each["name"]: each["mark"] for each in server.get("/api/v1/versions").json["versions"]}
    assert marks[bad.version]["kind"] == "bad"
    assert post(server, f"release?commit={bad.commit}", token).json["released"] == [hold]
    assert server.get("/deploy?wait=1").status == 200


def test_a_rollback_may_leave_nothing_behind(server: Server, token: str) -> None:
    ended(server.runs, order(server, "deploy").json["run"]["id"])
    ended(server.runs, order(server, "rollback", bearer(token), keep_mark=True).json["run"]["id"])
    assert server.get("/api/v1/status").json["holds"] == {"by_hand": None, "commits": []}


def test_a_deploy_that_waits_is_refused_at_its_turn_and_a_known_request_still_gives_its_run(
    server: Server, site: SampleSite
) -> None:
    key = ("Idempotency-Key", "k")
    with Gate(site).closed():
        going = order(server, "deploy").json["run"]["id"]
        at_gate(server.runs, going)
        waiting = order(server, "deploy", key).json["run"]["id"]
        HoldStore(server.settings.state_dir).hold("", "ana", time.time())
        again = order(server, "deploy", key)
        assert (again.status, again.json["run"]["id"]) == (202, waiting)
        assert order(server, "deploy").status == 423
    first, second = ended(server.runs, going), ended(server.runs, waiting)
    assert (first.exit_code, second.exit_code) == (5, 5)
    assert "is published, and not live" in first.message
    assert Path(server.settings.versions_dir / first.version).exists()
