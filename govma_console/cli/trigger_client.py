"""A client of the HTTP server: it asks for a deploy and prints the log, also across a restart of the server."""

from __future__ import annotations

import http.client
import json
import socket
import sys
import time
from contextlib import suppress
from urllib.parse import urlsplit

from govma_core.errors import BusyError, GovmaError, RefusedError, UsageError
from govma_core.settings.load import local_url, split_address

_CONNECT_SECONDS = 10
_TRIES = 30
"""Times a broken connection is made again, a second apart: the server may be restarting."""
_BLOCK = 1 << 16
_SILENCE = "… ".encode()
"""Begins a line that only says what goes on, and is not counted."""
_REFUSALS: dict[int, type[GovmaError]] = {409: BusyError, 423: RefusedError, 429: BusyError}


class ServerClient:
    """A client of the server at a URL, or at an address as listen_addr has it."""

    def __init__(self, url: str) -> None:
        if "//" not in url:
            with suppress(ValueError):
                url = local_url(*split_address(url))
        try:
            parts = urlsplit(url if "//" in url else f"http://{url}")
            host, port = parts.hostname or "", parts.port or 80
        except ValueError:
            host = ""
        if not host or parts.scheme != "http":
            raise UsageError("{url!r} is not the address of a server, such as http://127.0.0.1:50024.", url=url)
        host = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}.get(host, host)  # noqa: S104 - listened on, not asked
        self._address = (host, port)
        self._prefix = parts.path.removesuffix("/deploy").rstrip("/")

    def deploy(self) -> tuple[str, http.client.HTTPResponse]:
        """Ask for a deploy; return the id of its run and the answer, whose body is the log."""
        response = self._get("/deploy")
        if response.status != 200:
            reason = response.read(_BLOCK).decode("utf-8", "replace").strip() or f"HTTP {response.status}"
            raise _REFUSALS.get(response.status, GovmaError)(reason)
        return response.getheader("X-Run-Id") or "", response

    def follow(self, run_id: str, response: http.client.HTTPResponse) -> int:
        """Print the log of a run as it comes, and return the run's exit code; GovmaError when the server is gone."""
        # The first line is about the request; the log that is asked for after a broken connection is without it.
        sys.stdout.buffer.write(response.readline(_BLOCK))
        offset = _print_body(response)
        for _ in range(_TRIES):
            exit_code = self._exit_code(run_id)
            if exit_code is not None:
                return exit_code
            time.sleep(1)
            with suppress(GovmaError):
                offset += _print_body(self._get(f"/api/v1/runs/{run_id}/log?follow=1&offset={offset}"))
        raise GovmaError("The server is gone; run {run} may still be running. See `govma-console runs`.", run=run_id)

    def _get(self, path: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(*self._address, timeout=_CONNECT_SECONDS)
        try:
            connection.connect()
            # A build may be silent for long.
            connection.sock.settimeout(None)
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            connection.request("GET", self._prefix + path)
            return connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise GovmaError(
                "No server answers at {address}:{address2}: {error}. Is it running? (systemctl status govma-console)",
                address=self._address[0],
                address2=self._address[1],
                error=error,
            ) from None

    def _exit_code(self, run_id: str) -> int | None:
        """Return the exit code of a run; None while it goes on or no server answers."""
        try:
            response = self._get(f"/api/v1/runs/{run_id}")
            data = json.loads(response.read()) if response.status == 200 else {}
        except (GovmaError, OSError, ValueError, http.client.HTTPException):
            return None
        code = data.get("exit_code") if isinstance(data, dict) else None
        return code if isinstance(code, int) else None


def _print_body(response: http.client.HTTPResponse) -> int:
    """Print a body as it comes, until it ends or the connection breaks; return the number of the log's bytes in it."""
    count, line = 0, b""
    with suppress(OSError, http.client.HTTPException):
        while block := response.read1(_BLOCK):
            sys.stdout.buffer.write(block)
            sys.stdout.buffer.flush()
            *lines, line = (line + block).split(b"\n")
            count += sum(len(each) + 1 for each in lines if not each.startswith(_SILENCE))
    return count + (0 if line.startswith(_SILENCE) else len(line))
