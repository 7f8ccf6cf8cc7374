"""A machine to test on: a container whose PID 1 is systemd, with the project of this checkout installed."""

from __future__ import annotations

import io
import json
import shlex
import tarfile
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any

from docker.models.containers import Container

from govma_core.engine import exec
from tests.support.engine import REPOSITORY, Engine
from tests.support.systemd_image import PROJECT
from tests.support.waiting import PATIENCE, wait_for

COMMAND = "/usr/local/bin/govma-console"
_SOURCES = ("govma_core", "govma_console")
_TMPFS = {"/run": "", "/run/lock": "", "/tmp": ""}
_TIME_LIMIT = 124
"""Exit code of timeout(1)."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command on the machine ended, and what it printed."""

    code: int
    out: str
    err: str


class Machine:
    """A running container with systemd in it."""

    def __init__(self, container: Container, workers: ThreadPoolExecutor) -> None:
        self._container = container
        self._workers = workers

    def run(self, *command: str, user: str = "root", patience: float = PATIENCE) -> Ended:
        """Run a command to its end, `patience` seconds at most."""
        argv = ["timeout", str(patience), *command]
        client = self._container.client
        assert client is not None
        code, out, err = exec.run(client, str(self._container.id), argv, user=user, workdir="/")
        assert code is not None
        ended = Ended(code, out.decode(errors="replace"), err.decode(errors="replace"))
        assert ended.code != _TIME_LIMIT, f"{shlex.join(command)} did not end: {ended}"
        return ended

    def out(self, *command: str, user: str = "root") -> str:
        """Run a command that must succeed, and give what it printed."""
        ended = self.run(*command, user=user)
        assert ended.code == 0, f"{shlex.join(command)}: {ended}"
        return ended.out

    def shell(self, script: str) -> str:
        """Run a script that must succeed, and give what it printed."""
        return self.out("sh", "-euc", script)

    def start(self, *command: str, user: str = "root") -> Future[Ended]:
        """Start a command; the answer comes when it ends."""
        return self._workers.submit(self.run, *command, user=user)

    def put(self, files: bytes, directory: str = "/") -> None:
        """Unpack a tar."""
        self._container.put_archive(directory, files)

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file, its directories too."""
        self.out("mkdir", "-p", str(PurePosixPath(path).parent))
        self.out("sh", "-euc", f'printf %s "$1" >{shlex.quote(path)}; chmod {mode:o} {shlex.quote(path)}', "sh", text)

    def exists(self, path: str) -> bool:
        """Tell whether there is something of that name."""
        return self.run("test", "-e", path).code == 0

    def reboot(self) -> None:
        """Stop the machine, and boot it: until all that is to be started has been, with or without success."""
        self._container.restart()
        ends = ("running", "degraded")
        wait_for(lambda: self.run("systemctl", "is-system-running").out.strip() in ends, "the machine's boot")

    def journal(self, *matches: str) -> list[dict[str, Any]]:
        """Return the journal's entries that match, as journalctl(1) takes them."""
        self.out("journalctl", "--sync")
        lines = self.run("journalctl", "--output=json", "--all", "--no-pager", "--quiet", *matches).out
        return [json.loads(line) for line in lines.splitlines()]


@contextmanager
def machine_of(
    engine: Engine, image: str, shared: Mapping[str, str] = MappingProxyType({}), network: str = "none"
) -> Iterator[Machine]:
    """Boot a machine; nothing of it is left when the block ends. `shared`: paths of ours, and where they are in it."""
    with engine.client() as client, ThreadPoolExecutor(32) as workers:
        container = client.containers.run(
            image,
            detach=True,
            network_mode=network,
            # With /sys/fs/cgroup as it is outside, the names in there must be those from outside, too.
            cgroupns="host",
            cap_add=["SYS_ADMIN"],
            security_opt=["seccomp=unconfined", "apparmor=unconfined"],
            tmpfs=_TMPFS,
            volumes={
                "/sys/fs/cgroup": {"bind": "/sys/fs/cgroup", "mode": "rw"},
                **{path: {"bind": place, "mode": "rw"} for path, place in shared.items()},
                **{str(REPOSITORY / name): {"bind": f"{PROJECT}/{name}", "mode": "ro"} for name in _SOURCES},
            },
        )
        try:
            machine = Machine(container, workers)
            wait_for(lambda: machine.run("systemctl", "is-system-running").code == 0, "the machine's boot")
            machine.put(_installed())
            yield machine
        finally:
            container.remove(force=True, v=True)


def _installed() -> bytes:
    """Return a tar of what an installer writes beside the sources: the project's metadata and its command."""
    project = distribution("govma-console")
    files = {
        f"{PROJECT}/govma_console-{project.version}.dist-info/METADATA": (project.read_text("METADATA") or "", 0o644),
        COMMAND: ('#!/bin/sh\nexec /usr/bin/python3 -P -m govma_console.cli "$@"\n', 0o755),
    }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path, (text, mode) in files.items():
            member = tarfile.TarInfo(path.lstrip("/"))
            member.size, member.mode = len(text.encode()), mode
            tar.addfile(member, io.BytesIO(text.encode()))
    return out.getvalue()
