"""Callers who close the side on which they have no more to say get the whole log; those who are gone are let go."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.calls import Call, gather
from tests.support.crowds import HeldBuild, first_line
from tests.support.server import Server
from tests.support.waiting import wait_for

_REQUEST = b"GET /deploy HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


class Doors:
    """A server with a build that waits, asked by TCP or by its unix socket."""

    def __init__(self, server: Server, build: HeldBuild, unix: Path | None) -> None:
        self.server, self.build, self._unix = server, build, unix

    def connect(self) -> socket.socket:
        """Open a connection."""
        connection = socket.socket(socket.AF_UNIX if self._unix else socket.AF_INET)
        connection.connect(str(self._unix) if self._unix else (self.server.host, self.server.port))
        return connection

    def call(self) -> Call:
        """Ask for a deploy, and wait for the first line."""
        connection = self.connect()
        connection.sendall(_REQUEST)
        each = Call(connection)
        gather([each], until=first_line)
        return each


@pytest.fixture(params=["tcp", "unix"])
def doors(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Doors]:
    build = HeldBuild(tmp_path, 10)
    # The name of a unix socket may have 107 bytes.
    unix = Path(f"/tmp/govma-test-{os.getpid()}.sock") if request.param == "unix" else None
    with Server(build.site, unix_socket=str(unix or "")) as server:
        yield Doors(server, build, unix)


def test_a_caller_who_has_nothing_more_to_say_gets_the_whole_log(doors: Doors) -> None:
    each = doors.call()
    each.socket.shutdown(socket.SHUT_WR)
    doors.build.release()
    gather([each])
    assert doors.build.told_whole(each)


def test_a_caller_who_hangs_up_is_let_go_while_the_run_says_nothing(doors: Doors) -> None:
    before = doors.server.descriptors()
    each = doors.call()
    each.close()
    wait_for(lambda: doors.server.descriptors() <= before, "the end of the connection")
    doors.build.release()


def test_a_caller_who_has_nothing_more_to_say_and_then_hangs_up_is_let_go_too(doors: Doors) -> None:
    before = doors.server.descriptors()
    each, other = doors.call(), doors.call()
    each.socket.shutdown(socket.SHUT_WR)
    # Answered after that end of what was said was there: it has been taken note of.
    assert doors.server.get("/healthz").status == 200
    each.close()
    other.close()
    wait_for(lambda: doors.server.descriptors() <= before, "the end of both connections")
    doors.build.release()


def test_a_caller_who_hangs_up_in_the_middle_of_a_body_is_no_fault_of_ours(doors: Doors) -> None:
    connection = doors.connect()
    connection.sendall(b"POST /deploy HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nhalf")
    connection.close()
    wait_for(lambda: "hung up before the request was read" in doors.server.said(), "a word of it")
    assert "fault of govma-console" not in doors.server.said()
    assert doors.server.runs.ids() == []


def test_who_gave_up_before_a_server_that_was_stuck_reads_the_request_gets_no_deploy(doors: Doors) -> None:
    """Guards against deploys that nobody waits for any more, hours later: the kernel keeps requests."""
    doors.build.release()
    doors.server.process.send_signal(signal.SIGSTOP)
    gone, patient = doors.connect(), doors.connect()
    for connection in (gone, patient):
        connection.sendall(_REQUEST)
    patient.shutdown(socket.SHUT_WR)
    sent_at = time.monotonic()
    gone.close()
    wait_for(lambda: time.monotonic() > sent_at + 4, "more time than a server that works takes to read a request")
    doors.server.process.send_signal(signal.SIGCONT)
    answer = Call(patient)
    gather([answer])
    assert doors.build.told_whole(answer)
    assert len(doors.server.runs.ids()) == 1
    assert doors.server.said().count("hung up before the request was read") == 1


def test_who_sends_a_request_and_goes_at_once_gets_the_deploy(doors: Doors) -> None:
    """Guards programs that start a deploy and do not wait; on a unix socket this cannot be told from giving up."""
    doors.build.release()
    with doors.connect() as connection:
        if connection.family == socket.AF_UNIX:
            doors.server.process.send_signal(signal.SIGSTOP)
        connection.sendall(_REQUEST)
    doors.server.process.send_signal(signal.SIGCONT)
    if connection.family == socket.AF_INET:
        wait_for(doors.server.runs.ids, "the run")
    else:
        wait_for(lambda: "hung up before the request was read" in doors.server.said(), "a word of it")
