"""A server that other machines reach: without a token it does not start, or says loudly that everybody may deploy."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from govma_console.server.peer import peer_of
from govma_console.server.sockets import open_listeners
from govma_core.errors import ExitCode
from govma_core.settings import Settings
from tests.support.asking import ask, bearer, order
from tests.support.command import Command
from tests.support.gates import ended, idle, make_token
from tests.support.rights import as_root
from tests.support.sample import create_sample
from tests.support.server import Server, configure

_CLONE_NEWNET = 0x40000000
_ADDRESS = "10.77.0.1"


@contextmanager
def _network() -> Iterator[ThreadPoolExecutor]:
    """Yield a thread with a network of its own (unshare(2)), where an address that is not loopback leads back here."""

    def enter() -> None:
        if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        for line in ("link set lo up", f"addr add {_ADDRESS}/32 dev lo"):
            subprocess.run(["ip", *line.split()], check=True)

    with ThreadPoolExecutor(1) as thread:
        thread.submit(enter).result()
        yield thread


def test_without_a_token_it_does_not_listen_where_others_reach_it(tmp_path: Path) -> None:
    site = create_sample(tmp_path / "site")
    configure(site, unix_socket="", token_file=str(site.root / "tokens"))
    for address in ("0.0.0.0:0", ":0", "[::]:0"):
        configure(site, listen_addr=address)
        ended_server = Command(site.config_file, site.state_dir).run("--headless-server")
        assert ended_server.code == ExitCode.CONFIGURATION, ended_server.err
        assert "there is no token: anybody" in ended_server.err
        findings = Command(site.config_file, site.state_dir).run("doctor", "--json").json
        (sentence,) = [each["said"] for each in findings if (each["what"], each["state"]) == ("listen_addr", "wrong")]
        assert "there is no token: anybody" in sentence


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0"])
def test_a_server_that_listens_everywhere_takes_plain_deploys_of_local_users(tmp_path: Path, address: str) -> None:
    server = Server(create_sample(tmp_path / "site"), listen_addr="127.0.0.1:0")
    make_token(server)
    configure(server.site, listen_addr=address)
    with server:
        answer = ask(server, "GET", "/deploy")
        assert (answer.status, answer.text.endswith("ok, exit code 0\n")) == (200, True), answer.text
        record = next(server.runs.records())
        assert record.origin.endswith(f"uid {os.getuid()}")


@pytest.mark.parametrize(
    ("listen_addr", "families", "url"),
    [
        (":0", "46", "http://127.0.0.1:{port}"),
        ("[::]:0", "46", "http://127.0.0.1:{port}"),
        (":", "46", "http://127.0.0.1:{port}"),
        ("0.0.0.0:0", "4", "http://127.0.0.1:{port}"),
        ("localhost:0", "4", "http://127.0.0.1:{port}"),
        ("127.0.0.1:", "4", "http://127.0.0.1:{port}"),
        ("[::1]:0", "6", "http://[::1]:{port}"),
    ],
)
def test_each_form_of_an_address_is_listened_on_as_by_go(listen_addr: str, families: str, url: str) -> None:
    listeners = open_listeners(Settings(listen_addr=listen_addr, unix_socket=None, allow_unauthenticated_remote=True))
    (listener,) = listeners.sockets
    with listener:
        port = listener.getsockname()[1]
        answers = ""
        for family, host in (("4", "127.0.0.1"), ("6", "::1")):
            with suppress(OSError), socket.create_connection((host, port), 5) as client:
                answers += family
                accepted, _ = listener.accept()
                with accepted:
                    assert peer_of(accepted).remote == client.getsockname()[:2]
        assert answers == families
        assert listeners.addresses() == [url.format(port=port)]


@as_root
def test_from_elsewhere_everything_takes_the_token(tmp_path: Path) -> None:
    def scenario() -> None:
        server = Server(create_sample(tmp_path / "site"), listen_addr=f"{_ADDRESS}:0")
        token = bearer(make_token(server))
        with server:
            server.host = _ADDRESS
            reads = ("/deploy", "/metrics", *(f"/api/v1/{each}" for each in ("versions", "status", "usage", "runs")))
            for path in reads:
                answer = ask(server, "GET", path)
                assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer"), path
            assert order(server, "deploy").status == 401
            assert order(server, "rollback").status == 401
            assert server.runs.ids() == []
            assert ask(server, "GET", "/healthz").status == 200
            record = ended(server.runs, order(server, "deploy", token).json["run"]["id"])
            assert (record.state, record.by) == ("ok", "ci")
            assert record.origin.startswith(f"http, {_ADDRESS}:")
            assert ask(server, "GET", "/api/v1/status", token).status == 200
            # What is wrong with the checkout is not for everybody.
            (server.site.source_dir / "own.txt").touch()
            answers = ask(server, "GET", "/readyz"), ask(server, "GET", "/readyz", token)
            assert [answer.status for answer in answers] == [503, 503]
            assert answers[0].text == "A deploy would be refused now.\n"
            assert "own.txt" in answers[1].text

    with _network() as thread:
        thread.submit(scenario).result()


@as_root
def test_where_everybody_may_deploy_it_says_so_loudly_and_the_rest_still_takes_a_token(tmp_path: Path) -> None:
    def scenario() -> None:
        site = create_sample(tmp_path / "site")
        with Server(site, listen_addr=f"{_ADDRESS}:0", allow_unauthenticated_remote=True) as server:
            server.host = _ADDRESS
            assert f"warning: EVERYBODY who reaches {_ADDRESS} can deploy" in server.said()
            record = ended(server.runs, order(server, "deploy").json["run"]["id"])
            assert (record.state, record.by) == ("ok", _ADDRESS)
            assert order(server, "rollback").status == 401
            assert order(server, "deploy", rebuild=True).status == 401
            idle(server.runs)

    with _network() as thread:
        thread.submit(scenario).result()
