"""Who may: local users deploy and read; more takes a token, or root or the allowed group by the unix socket."""

from __future__ import annotations

import grp
import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from govma_console.server.auth import may_change, may_deploy
from govma_console.server.openapi import load_document
from govma_console.server.peer import Peer
from govma_console.server.state import Caller
from govma_core.errors import ExitCode
from govma_core.settings import Settings
from tests.support.asking import Header, ask, bearer, order, raw
from tests.support.gates import ended, idle, make_token, shared_site
from tests.support.rights import as_root
from tests.support.sample import SampleSite, create_sample
from tests.support.server import Server

_NOBODY, _GROUP, _GID = 65534, "www-data", 33
CHANGES = [
    ("deploy", {"ref": "main"}),
    ("deploy", {"rebuild": True}),
    ("deploy", {"promote": False}),
    ("deploy", {"force": True}),
    ("deploy", {"rehearse": False}),
    ("rollback", {}),
    ("promote", {"version": "x"}),
    ("check", {"version": "x"}),
    ("dedupe", {}),
    ("prune", {"keep": 1}),
]


@pytest.fixture(scope="module", name="site")
def _site(tmp_path_factory: pytest.TempPathFactory) -> SampleSite:
    return shared_site(tmp_path_factory, "rights")


@pytest.fixture(scope="module", name="server")
def _server(site: SampleSite) -> Iterator[Server]:
    path = str(site.root / "s.sock")
    with Server(site, requests_per_minute=100_000, unix_socket=path, unix_group=_GROUP) as server:
        yield server


@pytest.fixture(name="unix")
def _unix(site: SampleSite) -> Path:
    return site.root / "s.sock"


@pytest.fixture(autouse=True)
def _one_after_the_other(server: Server) -> None:
    idle(server.runs)


def curl(unix: Path, *arguments: str, uid: int, gid: int, groups: tuple[int, ...] = ()) -> tuple[int, str]:
    """Ask by the unix socket as another user; give curl's exit code and the status."""
    line = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket", str(unix), *arguments]
    completed = subprocess.run(
        line, user=uid, group=gid, extra_groups=groups, stdout=subprocess.PIPE, text=True, check=False
    )
    return completed.returncode, completed.stdout


@pytest.mark.parametrize(
    ("peer", "token", "is_forwarded", "deploys", "changes"),
    [
        (Peer(uid=0, gid=0), "", False, True, True),
        (Peer(uid=os.geteuid(), gid=_NOBODY), "", False, True, True),
        (Peer(uid=_NOBODY, gid=_GID), "", False, True, True),
        (Peer(uid=_NOBODY, gid=_NOBODY, groups=frozenset({_GID})), "", False, True, True),
        (Peer(uid=_NOBODY, gid=_NOBODY), "", False, True, False),
        (Peer(uid=_NOBODY, gid=_NOBODY), "ci", False, True, True),
        (Peer(uid=0, gid=0), "", True, False, False),
        (Peer(uid=0, gid=0), "ci", True, True, True),
        (Peer(uid=_NOBODY, gid=_GID), "", True, False, False),
        (Peer(("127.0.0.1", 9), ("127.0.0.1", 1), uid=0), "", False, True, False),
        (Peer(("127.0.0.1", 9), ("127.0.0.1", 1), uid=0, gid=_GID), "", False, True, False),
        (Peer(("::1", 9), ("::1", 1)), "", False, True, False),
        (Peer(("127.0.0.1", 9), ("127.0.0.1", 1), uid=0), "", True, False, False),
        (Peer(("127.0.0.1", 9), ("127.0.0.1", 1)), "ci", True, True, True),
        (Peer(("10.0.0.7", 9), ("10.0.0.1", 1)), "", False, False, False),
        (Peer(("10.0.0.7", 9), ("10.0.0.1", 1)), "ci", False, True, True),
    ],
)
def test_who_deploys_and_who_changes_more(
    peer: Peer, token: str, is_forwarded: bool, deploys: bool, changes: bool
) -> None:
    caller = Caller(peer, token, is_forwarded)
    for remote in (False, True):
        settings = Settings(unix_group=_GROUP, allow_unauthenticated_remote=remote)
        assert (may_deploy(caller, settings), may_change(caller, settings)) == (deploys or remote, changes)
    # Without a group it is root's, and the tokens', alone.
    assert may_change(caller, Settings(unix_group="")) is (bool(token) or (changes and peer.superuser))


def test_who_is_in_a_group_is_told_by_the_process_and_by_the_groups_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grp, "getgrnam", {"www-data": grp.struct_group(("www-data", "x", 33, ["nobody"]))}.__getitem__)
    member = Peer(uid=_NOBODY, gid=_NOBODY)
    assert (member.in_group("www-data"), member.in_group("none"), member.in_group("")) == (True, False, False)
    assert not Peer(uid=1, gid=1).in_group("www-data")
    assert not Peer(("127.0.0.1", 9), ("127.0.0.1", 1)).in_group("www-data")


def test_the_word_bearer_may_be_in_small_or_capital_letters(server: Server) -> None:
    token = make_token(server, "spelt")
    for value in (f"bearer {token}", f"BEARER {token}", f"Bearer  {token}"):
        assert ask(server, "POST", "/api/v1/release", ("authorization", value)).status == 200, value


def test_a_page_is_refused_with_a_token_too_and_at_each_address(server: Server, unix: Path) -> None:
    token = bearer(make_token(server, "page"))
    before = server.runs.ids()
    page: tuple[Header, ...] = (("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site"))
    for header in page:
        for method, path in (("GET", "/deploy"), ("POST", "/deploy"), ("POST", "/api/v1/runs"), ("GET", "/healthz")):
            answer = ask(server, method, path, header, token)
            closes = answer.headers.get("connection") == "close"
            assert (answer.status, closes) == (403, method == "POST"), (method, path, header)
        assert ask(server, "POST", "/deploy", header, unix=unix).status == 403
    rebound = raw(server, b"GET /deploy HTTP/1.1\r\nHost: rebound.example\r\nConnection: close\r\n\r\n")
    assert rebound.startswith(b"HTTP/1.1 403 ")
    # A browser's own words are excused by a token, and only by one that can be looked up.
    browser = (("User-Agent", "Mozilla/5.0"), ("Accept-Language", "pt-BR"))
    assert ask(server, "GET", "/api/v1/status", *browser, token).status == 200
    assert ask(server, "GET", "/api/v1/status", *browser, bearer("wrong")).status == 403
    file = server.settings.token_file
    assert file is not None
    file.chmod(0o644)
    try:
        assert ask(server, "GET", "/api/v1/status", *browser, token).status == 403
    finally:
        file.chmod(0o600)
    assert server.runs.ids() == before


@pytest.mark.parametrize(("operation", "arguments"), CHANGES)
def test_a_local_user_changes_nothing_more_than_a_deploy(
    server: Server, operation: str, arguments: dict[str, Any]
) -> None:
    before = server.runs.ids()
    answer = order(server, operation, **arguments)
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert "token" in answer.json["error"]
    assert server.runs.ids() == before


def test_a_local_user_without_a_token_is_refused_at_each_address_that_changes_something(server: Server) -> None:
    for path, methods in load_document()["paths"].items():
        if "post" in methods and path != "/api/v1/runs":
            answer = ask(server, "POST", path.replace("{id}", "none"), body=b"{}")
            assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer"), path


def test_a_local_user_deploys_and_reads_and_the_record_names_them(server: Server) -> None:
    record = ended(server.runs, order(server, "deploy").json["run"]["id"])
    assert (record.by, record.origin.endswith(f"uid {os.getuid()}")) == ("root", True)
    for path in (
        "versions",
        "status",
        "runs",
        f"runs/{record.id}",
        f"runs/{record.id}/log",
        f"runs/{record.id}/events",
    ):
        assert server.get(f"/api/v1/{path}").status == 200, path
    answer = ask(server, "POST", f"/api/v1/runs/{record.id}/cancel")
    assert answer.status == 401


@as_root
def test_another_user_is_recorded_by_name(server: Server) -> None:
    subprocess.run(["curl", "-sf", f"{server.url}/deploy"], user=_GID, group=_GID, extra_groups=(), check=True,
        stdout=subprocess.DEVNULL)  # fmt: skip
    record = next(server.runs.records())
    assert (record.by, record.origin.endswith("uid 33"), record.state) == ("www-data", True, "ok")


@pytest.mark.parametrize(
    "value", ["Bearer x", "Bearer ", "Bearer", "bearer {}x", "Basic {}", "{}", "Bearer {} {}", "Bearer \xe9", ""]
)
def test_a_wrong_token_is_refused_even_where_none_is_needed(server: Server, value: str) -> None:
    token = make_token(server, f"t-{hashlib.sha256(value.encode()).hexdigest()[:16]}")
    header = ("Authorization", value.format(token, token))
    assert order(server, "deploy", header).status == 401
    answer = ask(server, "GET", "/api/v1/status", header)
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert ask(server, "GET", "/deploy", header).status == 401


def test_a_token_works_until_its_line_is_taken_out_and_its_secret_is_written_nowhere(server: Server) -> None:
    token = make_token(server, "brief")
    assert server.get("/api/v1/status", dict([bearer(token)])).status == 200
    assert ask(server, "GET", "/api/v1/status", bearer(token), bearer(token)).status == 401
    assert ask(server, "GET", f"/api/v1/status?token={token}&access_token={token}").status == 400
    assert order(server, "rollback").status == 401
    path = server.settings.token_file
    assert path is not None
    assert token not in path.read_text() + server.said()
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith("brief ")))
    assert server.get("/api/v1/status", dict([bearer(token)])).status == 401


def test_a_token_file_that_others_can_read_is_not_used_and_the_answer_says_why(server: Server) -> None:
    token = make_token(server, "open")
    path = server.settings.token_file
    assert path is not None
    assert server.get("/api/v1/status", dict([bearer(token)])).status == 200
    # The server has read it by now, and does so again though its content stays what it was.
    path.chmod(0o640)
    answer = order(server, "rollback", bearer(token))
    path.chmod(0o600)
    assert (answer.status, "mode 0640" in answer.text) == (503, True), answer.text
    assert f"chmod 600 {path}" in answer.text
    with path.open("a") as file:
        file.write("no token\n")
    try:
        answer = server.get("/api/v1/status", dict([bearer(token)]))
        assert (answer.status, "is not `NAME sha256:HASH`" in answer.text) == (503, True)
    finally:
        path.write_text(path.read_text().replace("no token\n", ""))


def test_root_does_everything_by_the_unix_socket(server: Server, unix: Path) -> None:
    assert unix.stat().st_mode & 0o777 == 0o660
    order_id = order(server, "rollback", unix=unix).json["run"]["id"]
    record = ended(server.runs, order_id)
    assert (record.by, record.origin) == ("root", "http, unix socket, uid 0")
    answer = ask(server, "POST", f"/api/v1/runs/{record.id}/cancel", unix=unix)
    assert answer.status == 409


_ROLLBACK = ("-d", '{"operation": "rollback", "arguments": {"version": "none"}}', "http://x/api/v1/runs")


@as_root
@pytest.mark.parametrize("groups", [(_GID, ()), (_NOBODY, (_GID,)), (_NOBODY, (4, _GID, 5))])
def test_one_of_the_group_does_everything_by_the_unix_socket(
    server: Server, unix: Path, groups: tuple[int, tuple[int, ...]]
) -> None:
    gid, more = groups
    assert curl(unix, *_ROLLBACK, uid=_NOBODY, gid=gid, groups=more) == (0, "202")
    assert next(server.runs.records()).origin == f"http, unix socket, uid {_NOBODY}"


@as_root
def test_somebody_else_does_not_even_reach_the_unix_socket(server: Server, unix: Path) -> None:
    before = server.runs.ids()
    assert curl(unix, *_ROLLBACK, uid=_NOBODY, gid=_NOBODY) == (7, "000")
    unix.chmod(0o666)
    try:
        assert curl(unix, *_ROLLBACK, uid=_NOBODY, gid=_NOBODY) == (0, "401")
        assert curl(unix, "http://x/api/v1/status", uid=_NOBODY, gid=_NOBODY) == (0, "200")
        assert server.runs.ids() == before
    finally:
        unix.chmod(0o660)


@as_root
def test_the_unix_socket_goes_with_the_server(tmp_path: Path, site: SampleSite, server: Server) -> None:
    own = create_sample(tmp_path / "own")
    path = tmp_path / "own.sock"
    with Server(own, unix_socket=str(path)) as other:
        assert path.stat().st_mode & 0o777 == 0o600
        assert ask(other, "GET", "/healthz", unix=path).status == 200
    assert not path.exists()


def test_a_server_that_is_there_keeps_its_unix_socket_and_what_a_killed_one_left_is_taken(tmp_path: Path) -> None:
    sites = [create_sample(tmp_path / name) for name in ("first", "second")]
    path = tmp_path / "both.sock"
    with Server(sites[0], unix_socket=str(path)) as first:
        second = Server(sites[1], unix_socket=str(path))
        with pytest.raises(AssertionError, match="Another server listens on unix_socket"):
            second.start()
        assert second.process.wait() == ExitCode.BUSY
        assert ask(first, "GET", "/healthz", unix=path).status == 200
        first.process.kill()
        first.process.wait()
        with second:
            assert ask(second, "GET", "/healthz", unix=path).status == 200


def test_the_record_of_a_run_tells_that_a_proxy_asked_for_it() -> None:
    assert Caller(Peer(uid=0), is_forwarded=True).requester().origin == "http, unix socket, uid 0, a proxy"
