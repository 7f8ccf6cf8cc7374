"""Commands in running containers, with all that they print."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from docker import DockerClient

STDOUT, STDERR = 1, 2
_HEAD = struct.Struct(">BxxxL")
"""Before each piece of output: which stream it is of, and its length in bytes (Docker Engine API, ContainerAttach)."""


def prepare(client: DockerClient, container: str, argv: Sequence[str], *, user: str = "root", workdir: str = "") -> str:
    """Return the id of a command that is to be run in a container; `output` starts it."""
    command = client.api.exec_create(container, list(argv), user=user, workdir=workdir or None)
    return str(command["Id"])


def output(client: DockerClient, command: str) -> Iterator[tuple[int, bytes]]:
    """Start a prepared command, and give what it prints until it ends: (STDOUT or STDERR, bytes). No time limit.

    Not by the SDK's `exec_start`: that has the engine switch protocols, and then reads from the socket, below the
    reader that took the head of the answer and, when they came together, the first of the output with it.
    """
    api: Any = client.api
    answer = api._post_json(api._url("/exec/{0}/start", command), data={"Detach": False, "Tty": False}, stream=True)
    try:
        # Raises for a refusal, too.
        api._disable_socket_timeout(api._get_raw_response_socket(answer))
        while len(head := answer.raw.read(_HEAD.size)) == _HEAD.size:
            stream, length = _HEAD.unpack(head)
            yield stream, answer.raw.read(length)
    finally:
        answer.close()


def exit_code(client: DockerClient, command: str) -> int | None:
    """Return the exit code of a command; None while it goes on."""
    code = client.api.exec_inspect(command)["ExitCode"]
    return None if code is None else int(code)


def run(
    client: DockerClient, container: str, argv: Sequence[str], *, user: str = "root", workdir: str = ""
) -> tuple[int | None, bytes, bytes]:
    """Run a command to its end; give its exit code, and what it printed to standard output and error."""
    command = prepare(client, container, argv, user=user, workdir=workdir)
    streams = {STDOUT: bytearray(), STDERR: bytearray()}
    for stream, piece in output(client, command):
        streams[stream] += piece
    return exit_code(client, command), bytes(streams[STDOUT]), bytes(streams[STDERR])
