"""The API: what each address answers, and what runs it starts and cancels."""

from __future__ import annotations

import json
import site as site_packages
import sys
import venv
from pathlib import Path

import pytest

from tests.support.asking import ask, bearer, order
from tests.support.engine import REPOSITORY
from tests.support.gates import Gate, at_gate, ended, idle
from tests.support.sample import SampleSite, create_sample
from tests.support.server import Server


@pytest.fixture(autouse=True)
def _one_after_the_other(server: Server) -> None:
    idle(server.runs)


def test_a_deploy_is_taken_at_once_and_found_where_the_answer_says(server: Server) -> None:
    answer = order(server, "deploy")
    assert (answer.status, answer.json["waits_for"]) == (202, None)
    run_id = answer.headers["x-run-id"]
    assert answer.headers["location"] == f"/api/v1/runs/{run_id}"
    ended(server.runs, run_id)
    run = server.get(answer.headers["location"]).json
    assert (run["id"], run["state"], run["exit_code"], run["operation"]) == (run_id, "ok", 0, "deploy")
    assert not {"settings", "key"} & run.keys()
    assert server.get("/api/v1/runs?limit=1").json["runs"] == [run]
    assert server.get("/api/v1/status").json["last_run"] == run
    assert server.get("/api/v1/status").json["current"] == run["version"]
    versions = server.get("/api/v1/versions").json
    assert versions["current"] == run["version"] == versions["versions"][0]["name"]


def test_the_disk_is_measured_for_whoever_asks(server: Server) -> None:
    answer = server.get("/api/v1/usage")
    assert answer.headers["content-type"] == "application/json"
    assert [each["name"] for each in answer.json["versions"]]


def test_health_readiness_and_the_description_are_there(server: Server, site: SampleSite) -> None:
    assert server.get("/healthz").text == "ok\n"
    assert server.get("/readyz").text == "ready\n"
    assert server.get("/api/v1/openapi.json").json["openapi"].startswith("3.1")
    renamed = site.versions_dir.rename(site.root / "moved")
    try:
        answer = server.get("/readyz")
        assert (answer.status, "versions_dir" in answer.text) == (503, True)
    finally:
        renamed.rename(site.versions_dir)


def test_a_server_whose_python_was_upgraded_is_not_ready_and_its_runs_say_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards upgrades of the system: the server goes on with its Python, a run needs the one on the disk."""
    venv.create(tmp_path / "venv", symlinks=True)
    (packages,) = (tmp_path / "venv/lib").glob("python*/site-packages")
    (packages / "ours.pth").write_text("\n".join([str(REPOSITORY), *site_packages.getsitepackages()]))
    python = tmp_path / "venv/bin/python"
    monkeypatch.setattr(sys, "executable", str(python))
    with Server(create_sample(tmp_path / "site", files=10, vendor_files=12)) as server:
        assert server.get("/readyz").text == "ready\n"
        python.rename(tmp_path / "former")
        python.write_text('#!/bin/sh\nexec /usr/bin/python3 "$@"\n')
        python.chmod(0o755)
        for _ in range(2):
            readiness = server.get("/readyz")
            assert (readiness.status, f"{python}, which this program runs with" in readiness.text) == (503, True)
            assert "No module named 'govma_core'" in readiness.text
        answer = server.get("/deploy").text
        assert "deploy failed: The run's process ended during its start: " in answer
        assert "No module named 'govma_core'). If Python was upgraded with the system: install " in answer
        assert next(server.runs.records()).state == "interrupted"
        python.unlink()
        for path in ("/readyz", "/deploy"):
            assert "does not work any more (No such file or directory)" in server.get(path).text
        (tmp_path / "former").rename(python)
        assert server.get("/readyz").text == "ready\n"
        assert "successfully deployed" in server.get("/deploy").text


def test_rollback_promote_dedupe_and_prune_do_what_they_say(server: Server, site: SampleSite, token: str) -> None:
    site.commit({"data/html/another.php": "<?php"}, "Outra")
    after = ended(server.runs, order(server, "deploy").json["run"]["id"])
    for operation, arguments, current in (
        ("rollback", {}, after.version_before),
        ("promote", {"version": after.version}, after.version),
        ("rollback", {"version": after.version_before, "keep_mark": True}, after.version_before),
        ("dedupe", {"reflink": "never"}, after.version_before),
        ("prune", {"keep": 1}, after.version_before),
    ):
        answer = order(server, operation, bearer(token), **arguments)
        assert answer.status == 202, answer.text
        record = ended(server.runs, answer.json["run"]["id"])
        assert (record.state, record.by) == ("ok", "ci"), record.message
        assert record.origin.endswith("token ci")
        assert server.get("/api/v1/status").json["current"] == current
    assert order(server, "promote", bearer(token)).status == 422


def test_a_ref_that_is_not_there_fails_in_its_run(server: Server, token: str) -> None:
    answer = order(server, "deploy", bearer(token), ref="no-such-ref")
    assert answer.status == 202
    record = ended(server.runs, answer.json["run"]["id"])
    assert record.state != "ok"
    assert "no-such-ref" in record.message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 60_000,
        b"{}",
        b'{"operation": 1}',
        b'{"operation": "format"}',
        b'{"operation": "deploy", "more": 1}',
        b'{"operation": "deploy", "arguments": []}',
        b'{"operation": "deploy", "arguments": {"rebuild": 1}}',
        b'{"operation": "deploy", "arguments": {"ref": ""}}',
        b'{"operation": "deploy", "arguments": {"ref": null}}',
        b'{"operation": "deploy", "arguments": {"ref": "a\\u0000b"}}',
        b'{"operation": "prune", "arguments": {"keep": true}}',
        b'{"operation": "prune", "arguments": {"keep": 0}}',
        b'{"operation": "prune", "arguments": {"keep": 1e400}}',
        b'{"operation": "prune", "arguments": {"older_than": "soon"}}',
        b'{"operation": "dedupe", "arguments": {"reflink": "maybe"}}',
        b'{"operation": "promote"}',
        b'{"operation": "rollback", "arguments": {"version": "' + b"x" * 256 + b'"}}',
    ],
)
def test_a_body_that_makes_no_sense_is_refused_with_a_sentence(server: Server, token: str, body: bytes) -> None:
    before = server.runs.ids()
    answer = ask(server, "POST", "/api/v1/runs", bearer(token), body=body)
    assert (answer.status, list(answer.json)) == (422, ["error"])
    assert server.runs.ids() == before


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/runs/20260101-000000-0000", 404),
        ("/api/v1/runs/20260101-000000-0000/log", 404),
        ("/api/v1/runs/20260101-000000-0000/events", 404),
        ("/api/v1/runs/..%2f..", 404),
        ("/api/v1/runs/%00", 404),
        ("/api/v1/runs?limit=-1", 422),
        ("/api/v1/runs?limit=1001", 422),
        ("/api/v1/runs?limit=%C2%B2", 422),
        ("/api/v1/runs/", 404),
        ("/api/v1", 404),
        ("/api/v2/runs", 404),
        ("/api/v1/runs/20260101-000000-0000/cancel", 405),
    ],
)
def test_what_is_not_there_is_told_as_json(server: Server, path: str, status: int) -> None:
    answer = server.get(path)
    assert (answer.status, list(json.loads(answer.body))) == (status, ["error"])


def test_head_of_the_api_has_no_body_and_starts_nothing(server: Server) -> None:
    before = server.runs.ids()
    for path in ("/api/v1/runs", "/api/v1/status", "/metrics", "/healthz"):
        answer = ask(server, "HEAD", path)
        assert (answer.status, answer.body) == (200, b""), path
    assert ask(server, "HEAD", "/deploy").status == 405
    assert server.runs.ids() == before


def test_a_run_that_goes_on_and_one_that_waits_are_both_cancelled(server: Server, site: SampleSite, token: str) -> None:
    with Gate(site).closed():
        going = order(server, "deploy").json["run"]["id"]
        at_gate(server.runs, going)
        answer = order(server, "deploy").json
        waiting = answer["run"]["id"]
        assert answer["waits_for"] == going
        assert order(server, "rollback", bearer(token)).status == 409
        for run_id in (waiting, going):
            assert ask(server, "POST", f"/api/v1/runs/{run_id}/cancel", bearer(token)).status == 202
            assert ended(server.runs, run_id).state == "cancelled"
            again = ask(server, "POST", f"/api/v1/runs/{run_id}/cancel", bearer(token))
            assert (again.status, "has ended already" in again.text) == (409, True)
    none = ask(server, "POST", "/api/v1/runs/20260101-000000-0000/cancel", bearer(token))
    assert none.status == 404


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("/deploy?rebuild=1", "wait, on_fail, if_new"),
        ("/deploy?wait=1&whatever", "wait, on_fail, if_new"),
        ("/api/v1/runs?limits=1", "limit"),
        ("/api/v1/status?x=1", ""),
        ("/api/v1/hold?x=1", ""),
        ("/api/v1/runs/none/log?from=1", "follow, offset"),
    ],
)
def test_an_option_that_is_not_known_is_refused_with_those_there_are(server: Server, path: str, options: str) -> None:
    before = server.runs.ids()
    answer = server.get(path)
    assert (answer.status, answer.text.count("There is no option")) == (400, 1)
    assert f"there are: {options}." in answer.text if options else "there are none" in answer.text
    assert server.runs.ids() == before


@pytest.mark.parametrize("text", ["1", "true", "yes", "on", "TRUE"])
def test_an_option_is_on_by_any_word_for_it(server: Server, text: str) -> None:
    run_id = ended(server.runs, order(server, "deploy").json["run"]["id"]).id
    assert server.get(f"/api/v1/runs/{run_id}/log?follow={text}").text.endswith("ok, exit code 0\n")
    for wrong in (f"/api/v1/runs/{run_id}/log?follow=maybe", "/deploy?wait=maybe", "/deploy?on_fail=stop"):
        answer = server.get(wrong)
        assert (answer.status, "true, yes, on" in answer.text) == (422, True)
    assert server.runs.ids()[0] == run_id


def test_each_refusal_is_a_line_of_the_journal_without_the_values_of_its_query(server: Server) -> None:
    server.get("/deploy?token=SECRET")
    ask(server, "POST", "/api/v1/release", bearer("wrong"))
    server.get("/nowhere")
    lines = server.said().splitlines()
    for line in (
        "Refused GET /deploy?token=... of {peer} (400): There is no option 'token' here; there are: "
        "wait, on_fail, if_new.",
        "Refused POST /api/v1/release of {peer} (401): The token of this request is not in token_file.",
        "Refused GET /nowhere of {peer} (404): Not Found",
    ):
        matches = [each for each in lines if line.partition(" of {peer}")[0] + " of " in each]
        assert len(matches) == 1, lines
        assert matches[0].endswith(line.partition("{peer}")[2])
    assert "SECRET" not in server.said()
