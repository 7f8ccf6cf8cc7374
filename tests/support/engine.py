"""The Docker engine that tests use: the one that answers, else a private one for this session.

The private one is started and cleaned up by a process of its own, `tests.support.engine_guard`, which
notices when the session ends, however it ends.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import DockerException

REPOSITORY = Path(__file__).parents[2]
DEFAULT_HOST = "unix:///var/run/docker.sock"
ENGINE_PREFIX = "govma-test-engine-"
PROGRAMS = ("dockerd", "containerd", "runc", "ip", "iptables")
SYSTEM_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))


class EngineUnavailableError(Exception):
    """No engine answers and none can be started; the message says why."""


@dataclass(frozen=True)
class Engine:
    """A Docker engine: the address for DOCKER_HOST, and whether this session started it."""

    host: str
    private: bool

    @contextmanager
    def client(self) -> Iterator[docker.DockerClient]:
        """Yield a client of this engine, closed at the end."""
        client = docker.from_env(environment={**os.environ, "DOCKER_HOST": self.host}, timeout=120)
        try:
            yield client
        finally:
            client.close()


def find_engine() -> Engine | None:
    """Return the engine that answers at DOCKER_HOST, or at the default socket; None when none does."""
    engine = Engine(os.environ.get("DOCKER_HOST") or DEFAULT_HOST, private=False)
    with suppress(DockerException, OSError):
        if engine.host.startswith("unix://"):
            # Asked first, because the client forgets to close a socket that it could not connect.
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(engine.host.removeprefix("unix://"))
        with engine.client() as client:
            client.ping()
        return engine
    return None


def require_private_engine() -> None:
    """Raise EngineUnavailableError where private_engine has no chance."""
    if os.geteuid() != 0:
        raise EngineUnavailableError("no Docker engine answers, and to start one takes root")
    missing = [name for name in PROGRAMS if shutil.which(name, path=SYSTEM_PATH) is None]
    if missing:
        raise EngineUnavailableError(
            f"no Docker engine answers, and to start one, {', '.join(missing)} must be installed "
            "(scripts/test-packages does it)"
        )


@contextmanager
def private_engine(programs: Path | None = None, *features: str) -> Iterator[Engine]:
    """Run a Docker engine of our own; nothing of it is left when the block, or this process, ends.

    `programs` is a directory with programs that come before this machine's; `features` of the engine are switched on.
    Raises EngineUnavailableError when it cannot be started.
    """
    require_private_engine()
    # Its own session: Ctrl-C is for pytest, the guard follows when its standard input is closed.
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.engine_guard", *features],
        cwd=REPOSITORY,
        env={**os.environ, "PATH": os.pathsep.join((*([str(programs)] if programs else ()), SYSTEM_PATH))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    ) as guard:
        assert guard.stdin is not None
        assert guard.stdout is not None
        verdict, _, detail = guard.stdout.readline().strip().partition(" ")
        try:
            if verdict != "ready":
                raise EngineUnavailableError(f"a private Docker engine did not start: {detail or 'no reason given'}")
            yield Engine(detail, private=True)
        finally:
            # A line besides the end of input: a child of ours may hold a copy of the pipe.
            with suppress(BrokenPipeError):
                guard.stdin.write("stop\n")
                guard.stdin.close()
            # It has detached itself: that its end of the pipe is closed is its end.
            guard.stdout.read()


@contextmanager
def engine_for_tests() -> Iterator[Engine]:
    """Yield the engine that answers, else a private one; raise EngineUnavailableError where neither is to be had."""
    found = find_engine()
    if found is not None:
        yield found
        return
    with private_engine() as engine:
        yield engine
