"""The same requests, byte by byte, to the original server and to ours: each difference is named, and meant."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO, Any

import pytest

from tests.server.original_requests import CASES, Case, ask
from tests.support.calls import Listens
from tests.support.dispatcher import Dispatcher, NoCompilerError
from tests.support.rights import passable
from tests.support.sample import create_sample
from tests.support.server import Server
from tests.support.waiting import wait_for

# The compiler may have to build Go's own library first.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_SCRIPT = "echo x >>{}; echo '=== a version successfully deployed ==='"


class Pair:
    """Both servers, and how often each has deployed."""

    def __init__(self, ours: Server, original: Dispatcher, ran: Path) -> None:
        self.ours, self.original, self._ran = ours, original, ran

    def deploys(self) -> tuple[int, int]:
        wait_for(lambda: not self.ours.runs.active(), "the runs' end")
        return len(self.ours.runs.ids()), len(self._ran.read_text().split())


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = passable(tmp_path_factory.mktemp("servers"))
    site = create_sample(folder / "site", files=10, vendor_files=12)
    ran = folder / "ran"
    ran.touch()
    try:
        with Server(site, keep_runs=1000) as ours, Dispatcher(folder, _SCRIPT.format(ran)) as original:
            yield Pair(ours, original, ran)
    except NoCompilerError as error:
        pytest.skip(str(error))


class _Stream:
    """What HTTPResponse takes for a socket: one stream for all answers of a connection."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def makefile(self, mode: str) -> Any:
        return _Kept(self._stream)


class _Kept:
    """A stream that stays open when an answer has been read."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.read, self.readline, self.readinto = stream.read, stream.readline, stream.readinto  # type: ignore[attr-defined]

    def flush(self) -> None: ...

    def close(self) -> None: ...


def _answer(stream: IO[bytes], method: str) -> tuple[str, str]:
    """Return status and framing of the next answer, once it was read to its end."""
    response = HTTPResponse(_Stream(stream), method=method)  # type: ignore[arg-type]
    try:
        response.begin()
        response.read()
    except (HTTPException, OSError):
        return "nothing", ""
    framing = "chunked" if response.chunked else "length" if response.headers.get("content-length") else "until close"
    return str(response.status), framing if response.status == 200 else ""


def _behaviour(server: Listens, case: Case) -> tuple[list[str], str, str]:
    """Return statuses, framing, and whether the connection can be used again."""
    method = case.request.split()[0].decode("latin-1")
    with socket.create_connection((server.host, server.port), timeout=60) as connection:
        with suppress(OSError):
            connection.sendall(case.request)
        with connection.makefile("rb") as stream:
            answers = [_answer(stream, method) for _ in range(case.answers)]
            with suppress(OSError):
                connection.sendall(ask("GET /nothing HTTP/1.1", "Connection: close"))
            again, _ = _answer(stream, "GET")
    framings = "/".join(dict.fromkeys(framing for _, framing in answers if framing))
    return [status for status, _ in answers], framings, "open" if again == "404" else "closed"


def _summary(behaviour: tuple[list[str], str, str], deploys: int) -> str:
    statuses, framing, connection = behaviour
    many = "no deploy" if deploys == 0 else f"{deploys} deploy{'s' if deploys > 1 else ''}"
    return ", ".join(filter(None, ["/".join(statuses), many, framing, connection]))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_request_is_answered_as_by_the_original_unless_a_difference_is_meant(servers: Pair, case: Case) -> None:
    before = servers.deploys()
    ours, original = _behaviour(servers.ours, case), _behaviour(servers.original, case)
    after = servers.deploys()
    summaries = _summary(original, after[1] - before[1]), _summary(ours, after[0] - before[0])
    if case.why:
        assert summaries == (case.original, case.ours)
        assert case.original != case.ours
    else:
        assert summaries[0] == summaries[1]


@pytest.mark.parametrize("half_closed", [False, True], ids=["open", "half closed"])
def test_the_log_is_sent_to_its_end_as_by_the_original(servers: Pair, half_closed: bool) -> None:
    for server in (servers.ours, servers.original):
        with socket.create_connection((server.host, server.port), timeout=60) as connection:
            connection.sendall(ask("GET /deploy HTTP/1.1", "Connection: close"))
            if half_closed:
                connection.shutdown(socket.SHUT_WR)
            with connection.makefile("rb") as stream:
                text = stream.read()
        head, _, body = text.partition(b"\r\n\r\n")
        assert b"\r\ncontent-type: text/plain; charset=utf-8" in head.lower()
        assert b"access-control" not in head.lower()
        assert b" successfully deployed ===\n" in body
        assert body.endswith(b"\r\n0\r\n\r\n")
