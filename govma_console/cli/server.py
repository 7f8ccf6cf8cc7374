"""The HTTP server, and the tokens of those who may do more than deploy."""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from govma_console.config_option import effective
from govma_console.output import say, warn
from govma_core.errors import BusyError, ExitCode, GovmaError, RefusedError, UsageError
from govma_core.settings import Settings
from govma_core.text.language import tr


def serve(given: argparse.Namespace) -> int:
    """Serve until a signal says to stop."""
    from govma_console.server.server import serve as run

    config: Path | None = given.config
    return run(lambda: effective(given), ("--config", str(config.absolute())) if config else ())


def token(given: argparse.Namespace) -> int:
    """Make a token and print it, once."""
    from govma_console.server.tokens import Tokens

    settings: Settings = effective(given)
    made = Tokens(settings.token_file).add(given.name)
    print(made)
    warn(
        tr(
            "This is the only time it is shown; {token_file} keeps its hash. It is sent as a header:",
            token_file=settings.token_file,
        )
    )
    warn('  curl -H "Authorization: Bearer $TOKEN" …')
    return ExitCode.OK


_CONNECT_SECONDS = 10
_TRIES = 30
"""Times a broken line is taken up again, a second apart: the server may be restarting."""
_BLOCK = 1 << 16


def trigger(given: argparse.Namespace) -> int:
    """Ask the server for a deploy and follow it; Ctrl-C leaves it to itself."""
    server = Server(given.url or f"http://{effective(given).listen_addr}")
    response = server.get("/deploy")
    run = response.getheader("X-Run-Id") or ""
    if response.status != 200:
        said = response.read(_BLOCK).decode("utf-8", "replace").strip() or f"HTTP {response.status}"
        raise {409: BusyError, 423: RefusedError, 429: BusyError}.get(response.status, GovmaError)(said)
    try:
        # The first line is about the request; where a broken line is taken up again, there is only the log.
        sys.stdout.buffer.write(response.readline(_BLOCK))
        shown = _show(response)
        for _ in range(_TRIES):
            code = server.exit_code(run)
            if code is not None:
                return code
            time.sleep(1)
            with suppress(GovmaError):
                shown += _show(server.get(f"/api/v1/runs/{run}/log?follow=1&offset={shown}"))
    except KeyboardInterrupt:
        say(tr("The run continues. `govma-console attach {run}` follows it.", run=run), sys.stderr)
        return ExitCode.CANCELLED
    raise GovmaError(tr("The server is gone; run {run} may still be running. See `govma-console runs`.", run=run))


class Server:
    """A server of ours at a URL."""

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url if "//" in url else f"http://{url}")
            host, port = parts.hostname or "", parts.port or 80
        except ValueError:
            host = ""
        if not host or parts.scheme != "http":
            raise UsageError(tr("{url!r} is not the address of a server, such as http://127.0.0.1:50024.", url=url))
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - listened on, not asked
        self._address = (host, port)
        self._prefix = parts.path.removesuffix("/deploy").rstrip("/")

    def get(self, path: str) -> http.client.HTTPResponse:
        """Ask for a path; GovmaError when nobody answers."""
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
                tr(
                    "No server answers at {address}:{address2}: {error}. Is it running? (systemctl status "
                    "govma-console)",
                    address=self._address[0],
                    address2=self._address[1],
                    error=error,
                )
            ) from None

    def exit_code(self, run: str) -> int | None:
        """Return the exit code of a run, None while it goes on or nobody answers."""
        try:
            response = self.get(f"/api/v1/runs/{run}")
            data = json.loads(response.read()) if response.status == 200 else {}
        except (GovmaError, OSError, ValueError, http.client.HTTPException):
            return None
        code = data.get("exit_code") if isinstance(data, dict) else None
        return code if isinstance(code, int) else None


def _show(response: http.client.HTTPResponse) -> int:
    """Print what comes, to the end of the line or of the run; give how many bytes that were."""
    shown = 0
    with suppress(OSError, http.client.HTTPException):
        while block := response.read1(_BLOCK):
            sys.stdout.buffer.write(block)
            sys.stdout.buffer.flush()
            shown += len(block)
    return shown


def units(given: argparse.Namespace) -> int:
    """Print the units, or put them where systemd looks for them."""
    from govma_console.server.systemd_units import SERVICE, SOCKET, install, make_units

    made = make_units(effective(given), given.config, with_socket=given.socket)
    if not given.install:
        for name, text in made.items():
            say(f"# {name}\n{text}")
        return ExitCode.OK
    for path in install(made):
        warn(tr("Wrote {path}.", path=path))
    wanted = f"{SOCKET} {SERVICE}" if given.socket else SERVICE
    say(f"systemctl daemon-reload && systemctl enable --now {wanted}")
    return ExitCode.OK
