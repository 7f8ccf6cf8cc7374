"""Whose connection it is, as the kernel answers."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from govma_console.server.peer import owner_of
from tests.support.rights import as_root

_HOSTS = [("127.0.0.1", "127.0.0.1"), ("127.0.0.9", "127.0.0.9"), ("::1", "::1"), ("::", "127.0.0.1")]


@contextmanager
def _listening(host: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        if host == "::":
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind((host, 0))
        listener.listen()
        yield listener


def _owner_of(accepted: socket.socket) -> int | None:
    return owner_of(accepted.getpeername()[:2], accepted.getsockname()[:2])


@pytest.mark.parametrize(("bound", "called"), _HOSTS)
def test_the_other_end_of_a_connection_is_its_owners(bound: str, called: str) -> None:
    with _listening(bound) as listener:
        family = socket.AF_INET6 if ":" in called else socket.AF_INET
        with socket.socket(family) as client:
            client.connect((called, listener.getsockname()[1]))
            accepted, _ = listener.accept()
            with accepted:
                assert _owner_of(accepted) == os.getuid()


@as_root
def test_another_users_connection_is_that_users() -> None:
    with _listening("127.0.0.1") as listener:
        line = ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/$0; read", str(listener.getsockname()[1])]
        with subprocess.Popen(line, stdin=subprocess.PIPE, user=33, group=33, extra_groups=[]) as caller:
            accepted, _ = listener.accept()
            with accepted:
                assert _owner_of(accepted) == 33
                assert caller.stdin is not None
                caller.stdin.close()


def test_an_end_that_was_closed_is_nobodys_and_not_roots() -> None:
    with _listening("127.0.0.1") as listener:
        client = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
        with accepted:
            client.close()
            assert accepted.recv(1) == b""
            assert _owner_of(accepted) is None


def test_an_end_that_said_all_it_had_to_say_is_still_its_owners() -> None:
    with _listening("127.0.0.1") as listener, socket.create_connection(listener.getsockname()) as client:
        accepted, _ = listener.accept()
        with accepted:
            client.shutdown(socket.SHUT_WR)
            assert accepted.recv(1) == b""
            assert _owner_of(accepted) == os.getuid()


def test_a_connection_that_is_not_there_has_no_owner() -> None:
    with _listening("127.0.0.1") as listener:
        assert owner_of(("127.0.0.1", 1), listener.getsockname()) is None
