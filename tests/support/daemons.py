"""Start daemons, wait for them and stop them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import docker
import requests
from docker.errors import DockerException

START_SECONDS = 60
STOP_SECONDS = 20


def wait_until(done: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for `done`; raise TimeoutError, with the log's last line, when the process ends or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while not done():
        if process.poll() is not None or time.monotonic() > deadline:
            lines = log.read_text(errors="replace").splitlines()
            raise TimeoutError(f"{log.stem}: {lines[-1] if lines else 'it logged nothing'}")
        time.sleep(0.05)


def answers(host: str) -> bool:
    """Tell whether a Docker engine answers at `host`."""
    try:
        client = docker.DockerClient(base_url=host)
    except DockerException:
        return False
    try:
        return bool(client.ping())
    finally:
        client.close()


def remove_contents(host: str) -> None:
    """Remove containers and networks, so that the engine has nothing to wait for when it stops."""
    try:
        client = docker.DockerClient(base_url=host)
        for container in client.containers.list(all=True, ignore_removed=True):
            container.remove(force=True, v=True)
        client.networks.prune()
        client.close()
    except (DockerException, requests.RequestException) as error:
        sys.stderr.write(f"engine guard: {error}\n")


def spawn(undo: ExitStack, log: Path, argv: list[str]) -> subprocess.Popen[bytes]:
    """Start a daemon that logs to a file and is stopped, in the end by force, when `undo` unwinds."""
    with log.open("wb") as out:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def stop() -> None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    undo.callback(stop)
    return process
