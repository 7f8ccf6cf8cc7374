"""Pushes that git servers tell of: authentic ones start a deploy, once; everything else starts nothing."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from govma_console.server.middleware import HOOK_BODY_BYTES
from govma_console.server.webhooks import Members
from tests.support.asking import Header, ask, order
from tests.support.gates import Gate, at_gate, ended, idle, shared_site
from tests.support.rights import passable
from tests.support.sample import SampleSite, create_sample
from tests.support.server import Answer, Server, configure
from tests.support.waiting import wait_for

SECRET = b"a secret of this test"
SENDERS = ["github", "gitea", "gitlab"]
_SIGNATURES = {"github": "X-Hub-Signature-256", "gitea": "X-Gitea-Signature", "gitlab": "X-Gitlab-Token"}
_EVENTS = {"github": "X-GitHub-Event", "gitea": "X-Gitea-Event", "gitlab": "X-Gitlab-Event"}
_DELIVERIES = {"github": "X-GitHub-Delivery", "gitea": "X-Gitea-Delivery", "gitlab": "X-Gitlab-Event-UUID"}
_RELOADED = "The settings were read again."
_AGENTS = {"github": "GitHub-Hookshot/044aadd", "gitea": "Go-http-client/1.1", "gitlab": "GitLab/17.4.0"}


def push(ref: str = "refs/heads/main", after: str = "1") -> bytes:
    return json.dumps({"ref": ref, "after": after, "commits": [{"message": "Notícias"}]}).encode()


def signature(sender: str, body: bytes, secret: bytes = SECRET) -> str:
    if sender == "gitlab":
        return secret.decode()
    return ("sha256=" if sender == "github" else "") + hmac.new(secret, body, hashlib.sha256).hexdigest()


def deliver(
    server: Server, sender: str, body: bytes, *signatures: str, event: str = "", delivery: str = "d-1", kind: str = ""
) -> Answer:
    """Send a delivery as this git server does; with the right signature when none is given."""
    push_event = "Push Hook" if sender == "gitlab" else "push"
    headers: list[Header] = [
        ("User-Agent", _AGENTS[sender]),
        ("Content-Type", kind or "application/json"),
        (_EVENTS[sender], event or push_event),
        (_DELIVERIES[sender], delivery),
        *((_SIGNATURES[sender], each) for each in signatures or [signature(sender, body)]),
    ]
    return ask(server, "POST", f"/hooks/{sender}", *headers, body=body)


@pytest.fixture(scope="module", name="site")
def _site(tmp_path_factory: pytest.TempPathFactory) -> SampleSite:
    site = shared_site(tmp_path_factory, "hooks")
    secret = site.root / "hook-secret"
    secret.write_bytes(SECRET + b"\n")
    secret.chmod(0o600)
    return site


@pytest.fixture(scope="module", name="server")
def _server(site: SampleSite) -> Iterator[Server]:
    with Server(site, requests_per_minute=100_000, hook_if_new=False, **Gate(site).settings) as server:
        yield server


@pytest.fixture(autouse=True)
def _one_after_the_other(server: Server) -> None:
    idle(server.runs)


@contextmanager
def reloaded(server: Server, **settings: Any) -> Iterator[None]:
    """Have the server take these settings for the block, and those of before behind it."""
    before = server.site.config_file.read_text()

    def reload() -> None:
        count = server.said().count(_RELOADED)
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: server.said().count(_RELOADED) > count, "the settings' being read again")

    configure(server.site, **settings)
    reload()
    try:
        yield
    finally:
        server.site.config_file.write_text(before)
        reload()


@pytest.fixture(name="nothing_runs")
def _nothing_runs(server: Server) -> Iterator[None]:
    before = server.runs.ids()
    yield
    assert server.runs.ids() == before


def test_the_answer_tells_why_the_deploy_would_be_refused_now(server: Server, site: SampleSite) -> None:
    path = site.source_dir / "own.txt"
    path.touch()
    try:
        answer = deliver(server, "github", push(after="refused"))
        assert answer.status == 202
        assert "is not clean" in answer.json["refusal"]
        assert ended(server.runs, answer.json["run"]).message == answer.json["refusal"]
        readiness = server.get("/readyz")
        assert (readiness.status, readiness.text.strip()) == (503, answer.json["refusal"])
    finally:
        path.unlink()
    # While the runner still has the lock, the answer is that of before.
    wait_for(lambda: server.get("/readyz").text == "ready\n", "the server's being ready")


@pytest.mark.parametrize("sender", SENDERS)
def test_a_push_to_the_branch_starts_a_deploy_and_its_record_names_the_hook(server: Server, sender: str) -> None:
    answer = deliver(server, sender, push(after=f"record {sender}"))
    assert answer.status == 202, answer.text
    record = ended(server.runs, answer.json["run"])
    assert answer.json["new"] is True
    assert answer.headers["location"] == f"/api/v1/runs/{record.id}"
    assert (record.state, record.operation, record.by) == ("ok", "deploy", f"{sender} hook"), record.message
    assert record.origin.startswith("http, 127.0.0.1:")


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.usefixtures("nothing_runs")
def test_without_a_signature_there_is_no_run(server: Server, sender: str) -> None:
    body = push(after="unsigned")
    event = (_EVENTS[sender], "Push Hook" if sender == "gitlab" else "push")
    answer = ask(server, "POST", f"/hooks/{sender}", event, body=body)
    assert (answer.status, answer.text) == (401, "The signature of this delivery is missing or wrong.\n")
    # SHA-1, which GitHub sends beside it for old receivers, proves nothing.
    sha1 = ("X-Hub-Signature", "sha1=" + hmac.new(SECRET, body, hashlib.sha1).hexdigest())
    assert ask(server, "POST", f"/hooks/{sender}", event, sha1, body=body).status == 401


def _wrong(sender: str, body: bytes) -> dict[str, list[str]]:
    right = signature(sender, body)
    return {
        "empty": [""],
        "cut": [right[:-1]],
        "longer": [right + "0"],
        "prefix alone": ["sha256="],
        "other prefix": ["sha1=" + right.removeprefix("sha256=")],
        "prefix of another sender": [right.removeprefix("sha256=") if sender == "github" else "sha256=" + right],
        "upper case": [right.upper()],
        "no ASCII": ["sha256=é" + right[8:]],
        "other secret": [signature(sender, body, SECRET + b"!")],
        "empty secret": [signature(sender, body, b"")],
        "of another body": [signature("github" if sender == "github" else "gitea", body + b" ")],
        "right twice": [right, right],
        "wrong and right": ["x", right],
        "right and wrong": [right, ""],
        "joined": [f"{right}, {right}"],
        "JSON": ["[]"],
    }


@pytest.mark.parametrize("how", _wrong("github", b""))
@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.usefixtures("nothing_runs")
def test_no_run_comes_of_a_signature_that_is(server: Server, sender: str, how: str) -> None:
    body = push(after="forged")
    answer = deliver(server, sender, body, *_wrong(sender, body)[how])
    assert answer.status == 401
    assert SECRET.decode() not in server.said()


@pytest.mark.parametrize("sender", SENDERS)
def test_a_delivery_that_comes_again_makes_no_second_run(server: Server, sender: str) -> None:
    body = push(after=f"again {sender}")
    first = deliver(server, sender, body, delivery="one")
    again = deliver(server, sender, body, delivery="one")
    ended(server.runs, first.json["run"])
    count = len(server.runs.ids())
    # Ids of deliveries are not signed: who replays one makes up another.
    later = [deliver(server, sender, body, delivery=each) for each in ("one", "two", "")]
    assert all(each.json == {"run": first.json["run"], "new": False} for each in (again, *later))
    assert len(server.runs.ids()) == count
    assert deliver(server, sender, push(after=f"other {sender}")).json["new"] is True


def test_a_delivery_that_shared_a_waiting_run_is_known_again_when_that_has_ended(
    server: Server, site: SampleSite
) -> None:
    with Gate(site).closed():
        going = deliver(server, "github", push(after="goes"))
        at_gate(server.runs, going.json["run"])
        waits = deliver(server, "github", push(after="waits"))
        shares = deliver(server, "github", push(after="shares"))
        assert shares.json == {"run": waits.json["run"], "new": False}
        assert server.runs.read(waits.json["run"]).state in ("starting", "waiting")
    ended(server.runs, waits.json["run"])
    assert deliver(server, "github", push(after="shares")).json == shares.json
    first, second = (ended(server.runs, each.json["run"]) for each in (going, waits))
    assert first.state == second.state == "ok"
    assert second.started >= first.finished


@pytest.mark.parametrize("ref", ["refs/heads/other", "refs/tags/main", "refs/tags/v1", "main", "refs/heads/main2", ""])
@pytest.mark.usefixtures("nothing_runs")
def test_pushes_elsewhere_are_taken_note_of_and_start_nothing(server: Server, ref: str) -> None:
    answer = deliver(server, "github", push(ref))
    assert (answer.status, answer.json) == (200, {"ignored": "not a push to refs/heads/main"})


@pytest.mark.parametrize("body", [b"{}", b"[]", b"1", b"null", b'{"ref": null}', b'{"ref": ["refs/heads/main"]}'])
@pytest.mark.usefixtures("nothing_runs")
def test_authentic_json_that_is_no_push_starts_nothing(server: Server, body: bytes) -> None:
    assert deliver(server, "gitea", body).status == 200


@pytest.mark.parametrize(
    ("sender", "event"),
    [("github", "ping"), ("github", "PUSH"), ("gitea", "create"), ("gitlab", "Tag Push Hook"), ("gitlab", "push")],
)
@pytest.mark.usefixtures("nothing_runs")
def test_other_events_are_ignored_and_a_forged_one_is_refused(server: Server, sender: str, event: str) -> None:
    assert deliver(server, sender, push(), event=event).json == {"ignored": "not a push"}
    assert deliver(server, sender, push(), "forged", event=event).status == 401


@pytest.mark.parametrize(
    "body", [urlencode({"payload": push().decode()}).encode(), b"{", b"\xff\xfe", b"[" * 100_000, b"NaNN"]
)
@pytest.mark.usefixtures("nothing_runs")
def test_a_signed_body_that_is_no_json_is_refused_with_the_remedy(server: Server, body: bytes) -> None:
    answer = deliver(server, "github", body, kind="application/x-www-form-urlencoded")
    assert (answer.status, "content type of the hook to application/json" in answer.text) == (422, True)


def test_a_delivery_whose_run_failed_is_tried_again_when_it_comes_again(server: Server, site: SampleSite) -> None:
    dirt = site.source_dir / "in-the-way"
    body = push(after="after a failure")
    dirt.touch()
    try:
        failed = ended(server.runs, deliver(server, "github", body).json["run"])
    finally:
        dirt.unlink()
    assert failed.exit_code not in (0, None)
    again = deliver(server, "github", body)
    assert (again.status, again.json["new"]) == (202, True)
    assert ended(server.runs, again.json["run"]).state == "ok"
    # Beside these, until the runner has let go of the lock, the refusal of before.
    assert deliver(server, "github", body).json.items() >= {"run": again.json["run"], "new": False}.items()


def test_a_delivery_whose_run_was_killed_is_tried_again_when_it_comes_again(server: Server, site: SampleSite) -> None:
    body = push(after="after a kill")
    with Gate(site).closed():
        killed = at_gate(server.runs, deliver(server, "github", body).json["run"])
        assert deliver(server, "github", body).json == {"run": killed.id, "new": False}
        os.kill(killed.pid, signal.SIGKILL)
        assert ended(server.runs, killed.id).state == "interrupted"
    again = deliver(server, "github", body)
    assert (again.status, again.json["new"]) == (202, True)
    assert ended(server.runs, again.json["run"]).state == "ok"
    assert deliver(server, "github", body).json == {"run": again.json["run"], "new": False}


def test_a_push_waits_where_other_callers_are_refused_and_is_another_one_with_other_settings(
    server: Server, site: SampleSite
) -> None:
    body = push(after="waits")
    first = deliver(server, "github", body).json["run"]
    ended(server.runs, first)
    with reloaded(server, queue="reject", hook_if_new=True), Gate(site).closed():
        at_gate(server.runs, order(server, "deploy").json["run"]["id"])
        # The same delivery: what it asks for now is something else.
        answer = deliver(server, "github", body)
        assert (answer.status, answer.json["new"]) == (202, True)
        assert deliver(server, "gitea", body).json == {"run": answer.json["run"], "new": False}
        assert order(server, "deploy").status == 409
    assert ended(server.runs, answer.json["run"]).state == "unchanged"
    with reloaded(server, queue="each"), Gate(site).closed():
        waiting = [deliver(server, "github", push(after=each)).json["run"] for each in ("a", "b", "c")]
        assert len(set(waiting)) == 3
    assert [ended(server.runs, each).state for each in waiting] == ["ok"] * 3
    assert deliver(server, "github", body).json == {"run": first, "new": False}


@pytest.mark.usefixtures("nothing_runs")
def test_the_guard_against_browsers_stands_before_the_hooks_too(server: Server) -> None:
    body = push(after="page")
    proof = (_SIGNATURES["github"], signature("github", body))
    for header in (("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site")):
        answer = ask(server, "POST", "/hooks/github", (_EVENTS["github"], "push"), proof, header, body=body)
        assert answer.status == 403, header


@pytest.mark.parametrize("more", [{"after": "0" * 40}, {"after": "0" * 64}, {"after": "1", "deleted": True}])
@pytest.mark.usefixtures("nothing_runs")
def test_a_push_that_deletes_the_branch_is_taken_note_of(server: Server, more: dict[str, object]) -> None:
    answer = deliver(server, "github", json.dumps({"ref": "refs/heads/main", "commits": [], **more}).encode())
    assert (answer.status, answer.json) == (200, {"ignored": "refs/heads/main was deleted"})


@pytest.mark.usefixtures("nothing_runs")
def test_a_push_of_many_commits_takes_little_memory(server: Server) -> None:
    commit = {"id": "1" * 40, "message": 'Not\u00edcias "novas"\n{[\\', "added": ["data/html/a.html"] * 3}
    large = {"commits": [commit] * 140_000, "ref": "refs/heads/other", "repository": {"ref": "refs/heads/main"}}
    body = json.dumps(large).encode()
    assert (20 << 20) < len(body) < HOOK_BODY_BYTES
    deliver(server, "github", push("refs/heads/other"))
    before = server.memory(peak=True)
    assert deliver(server, "github", body).json == {"ignored": "not a push to refs/heads/main"}
    assert server.memory(peak=True) - before < 10


@pytest.mark.parametrize("length", [1, 2, 3, 7])
def test_members_are_read_however_the_body_is_cut(length: int) -> None:
    data = {'a\\"': "x{[\\", "commits": [{"b": ']}"\\'}, []], "after": "1", "z": {"y": "\\\\"}, "t": True, "é": "ü"}
    body = json.dumps(data, ensure_ascii=False).encode()
    members = Members()
    for start in range(0, len(body), length):
        members.feed(body[start : start + length])
    assert members.read() == {name: None if isinstance(value, list | dict) else value for name, value in data.items()}


@pytest.mark.usefixtures("nothing_runs")
def test_a_body_may_be_as_large_as_the_limit_and_no_larger(server: Server) -> None:
    full = push("refs/heads/other").ljust(HOOK_BODY_BYTES)
    assert deliver(server, "github", full).status == 200
    answer = deliver(server, "github", full + b" ")
    assert (answer.status, str(HOOK_BODY_BYTES) in answer.text) == (413, True)


@pytest.mark.usefixtures("nothing_runs")
def test_only_the_three_addresses_answer_and_only_to_post(server: Server) -> None:
    for path in ("/hooks/bitbucket", "/hooks/GitHub", "/hooks/", "/hooks/github/"):
        assert ask(server, "POST", path, body=push()).status == 404, path
    assert ask(server, "GET", "/hooks/github").status == 405


def test_a_secret_that_others_can_read_is_not_used_and_the_answer_says_why(server: Server, site: SampleSite) -> None:
    secret = site.root / "hook-secret"
    count = len(server.runs.ids())
    for mode in (0o644, 0o640, 0o602):
        secret.chmod(mode)
        answer = deliver(server, "github", push(after="open secret"))
        assert answer.status == 503
        assert f"mode {mode:04o}" in answer.text
        assert f"chmod 600 {secret}" in answer.text
    secret.chmod(0o600)
    assert len(server.runs.ids()) == count


@pytest.mark.usefixtures("nothing_runs")
def test_without_a_secret_there_are_no_hooks(server: Server, site: SampleSite) -> None:
    secret = site.root / "hook-secret"
    content_before = secret.read_bytes()
    for content in (b"", b" \n"):
        secret.write_bytes(content)
        answer = deliver(server, "github", push(), signature("github", push(), b""))
        assert (answer.status, answer.body) == (404, b"")
    secret.unlink()
    assert deliver(server, "github", push(), signature("github", push(), b"")).status == 404
    secret.mkdir()
    try:
        broken = deliver(server, "github", push())
        assert (broken.status, "hook_secret_file" in broken.text) == (503, True)
        secret.rmdir()
    finally:
        secret.write_bytes(content_before)
        secret.chmod(0o600)


def test_by_default_a_push_of_what_is_live_makes_nothing(tmp_path: Path) -> None:
    site = create_sample(passable(tmp_path) / "site")
    secret = site.root / "hook-secret"
    secret.write_bytes(SECRET)
    secret.chmod(0o600)
    with Server(site) as server:
        first = ended(server.runs, deliver(server, "github", push(after="1")).json["run"])
        again = ended(server.runs, deliver(server, "github", push(after="2")).json["run"])
        assert (first.state, again.state, again.exit_code, again.version) == ("ok", "unchanged", 0, first.version)
        # As any local user may: it is less than a deploy.
        sentence = f"nothing new: {first.version} is live with {first.commit[:9]}"
        answer = server.get("/deploy?if_new=1&wait=1&on_fail=abort")
        assert (answer.status, sentence in answer.text) == (200, True)
        assert answer.text.endswith(": unchanged, exit code 0\n")
        assert ended(server.runs, order(server, "deploy", if_new=True).json["run"]["id"]).state == "unchanged"
        plain = server.get("/deploy?wait=1")
        assert (plain.status, sentence in plain.text, "successfully deployed" in plain.text) == (200, True, True)
        assert ended(server.runs, order(server, "deploy", if_new=False).json["run"]["id"]).state == "ok"
