"""The connection to the Docker engine, and its many kinds of failure as one sentence.

Docker's library takes a tenth of a second and eight MiB: it is loaded when the engine is asked, not with this file.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from govma_core.errors import EngineError
from govma_core.text.clean import clean_line
from govma_core.text.language import tr

if TYPE_CHECKING:
    import requests
    from docker import DockerClient

_DEFAULT = "unix:///var/run/docker.sock"


def host() -> str:
    """Return the address of the engine: DOCKER_HOST, else the default socket."""
    return os.environ.get("DOCKER_HOST") or _DEFAULT


def socket_path() -> str:
    """Return the path of the engine's socket, '' when it is reached by another way."""
    kind, _, path = host().partition("://")
    return path if kind == "unix" else ""


def absent() -> bool:
    """Tell whether there is no engine: its socket is not there. One that cannot be looked at may be."""
    path = socket_path()
    if not path:
        return False
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        # There is something that this user may not look at: connecting says so.
        return False
    return False


def failures(*others: type[Exception]) -> tuple[type[Exception], ...]:
    """Return what the SDK raises, and others, for `except`; the errors of `requests` are OSErrors."""
    import http.client

    import urllib3
    from docker.errors import DockerException

    return DockerException, OSError, urllib3.exceptions.HTTPError, http.client.HTTPException, *others


def not_found() -> type[Exception]:
    """Return what the SDK raises for a container, an image or a network that is not there."""
    from docker.errors import NotFound

    return NotFound


_LONGEST = 400
_WITHOUT = tr(", or build without it: GOVMA_BUILDER=local")


@contextmanager
def connected(timeout: int = 60, otherwise: str = _WITHOUT) -> Iterator[DockerClient]:
    """Yield a client of the engine at DOCKER_HOST (else the default socket), closed at the end.

    `timeout` is for each single answer, in seconds. EngineError when the engine does not answer; it ends with what one
    can do `otherwise`.
    """
    try:
        _knock(timeout)
        import docker

        client = docker.from_env(timeout=timeout, environment={**os.environ, "DOCKER_HOST": host()})
    except failures() as error:
        raise EngineError(unreachable(error, otherwise)) from None
    try:
        yield client
    finally:
        client.close()


@contextmanager
def streaming(client: DockerClient) -> Iterator[None]:
    """Close all answers that were begun in the block, at its end: the SDK loses sight of those not read to theirs.

    While one is open and not read the engine waits, even to remove the container whose output it is.
    """
    from docker.types import CancellableStream

    streams: list[requests.Response] = []

    def keep(response: requests.Response, **options: Any) -> None:  # noqa: ANN401
        if options.get("stream"):
            streams.append(response)

    hooks = client.api.hooks["response"]
    hooks.append(keep)
    try:
        yield
    finally:
        hooks.remove(keep)
        for stream in streams:
            # Shut down first: another thread may be reading.
            with suppress(*failures(AttributeError)):
                CancellableStream(iter(()), stream).close()
            stream.close()


def _knock(timeout: int) -> None:
    """Connect to the engine's socket once: the SDK does not close the one that it fails to connect."""
    if path := socket_path():
        with socket.socket(socket.AF_UNIX) as knock:
            knock.settimeout(timeout)
            knock.connect(path)


@contextmanager
def told_as(doing: str) -> Iterator[None]:
    """Turn a failure of the engine into an EngineError: "Docker could not <doing>: <reason>". For calls to it only.

    One that is gone is told as that.
    """
    try:
        yield
    except failures() as error:
        if isinstance(_cause(error), FileNotFoundError | ConnectionRefusedError):
            raise EngineError(unreachable(error, otherwise="")) from None
        raise EngineError("Docker could not {doing}: {reason}.", doing=doing, reason=reason(error)) from None


def unreachable(error: BaseException, otherwise: str = _WITHOUT) -> str:
    """Return the sentence for an engine that does not answer."""
    advice = tr("Start it (systemctl start docker)")
    if isinstance(_cause(error), PermissionError):
        advice = tr("Run as root or as a member of the group docker")
    return tr(
        "Docker does not answer at {host}: {reason}. {advice}{otherwise}.",
        host=host(),
        reason=reason(error),
        advice=advice,
        otherwise=otherwise,
    )


def reason(error: BaseException) -> str:
    """Return the engine's own words or the system's, as a harmless piece of a sentence."""
    import requests
    import urllib3
    from docker.errors import APIError

    if isinstance(error, APIError):
        text = error.explanation or str(error)
        text = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    else:
        cause = _cause(error)
        text = (cause.strerror or str(cause)) if cause is not None else str(error)
        if isinstance(error, requests.exceptions.Timeout | urllib3.exceptions.TimeoutError):
            text = tr("it did not answer in time")
        elif cause is None and isinstance(error, requests.exceptions.ConnectionError):
            text = tr("it closed the connection")
    text = clean_line(" ".join(text.split())).rstrip(".")
    return (text if len(text) <= _LONGEST else text[:_LONGEST] + "…") or type(error).__name__


def _cause(error: BaseException) -> OSError | None:
    """Find the system's error below those of requests and urllib3."""
    newest = None
    current: BaseException | None = error
    while current is not None:
        if isinstance(current, OSError) and (current.errno is not None or isinstance(current, TimeoutError)):
            newest = current
        current = current.__cause__ or current.__context__
    return newest
