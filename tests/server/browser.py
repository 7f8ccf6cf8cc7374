"""A real browser, and a web site that is not ours."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

_PROFILES = "profile"
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
    # Windows that a page opens by itself count, too.
    "--disable-popup-blocking",
    # Nothing of the machine's own network: what is not mapped to loopback does not resolve.
    "--host-resolver-rules=MAP *.example 127.0.0.1, MAP *.example.org 127.0.0.1, MAP * ~NOTFOUND, "
    "EXCLUDE 127.0.0.1, EXCLUDE localhost",
)


@contextmanager
def browsing(directory: Path, url: str) -> Iterator[None]:
    """Have a browser with a profile of its own go to an address, as if it was typed, for the block."""
    with _environment() as environment:
        with (directory / "browser.log").open("ab") as log:
            process = subprocess.Popen(
                _line(directory, url),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=environment,
            )
        try:
            yield
        finally:
            # It is many processes, and leaves some of them behind when only the first one ends.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def page_shown(directory: Path, url: str) -> str:
    """Return the document that a browser shows for an address that was typed."""
    with _environment() as environment:
        done = subprocess.run(
            _line(directory, "--dump-dom", url),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=60,
            check=True,
            env=environment,
        )
    return done.stdout.decode()


@contextmanager
def _environment() -> Iterator[dict[str, str]]:
    # What it stages outside of its profile goes, too; the path of a socket in there must be short.
    with TemporaryDirectory(prefix="c", ignore_cleanup_errors=True) as staged:
        yield {**os.environ, "TMPDIR": staged}


def _line(directory: Path, *arguments: str) -> list[str]:
    number = len(list(directory.glob(f"{_PROFILES}-*")))
    profile = directory / f"{_PROFILES}-{number}"
    profile.mkdir()
    return ["chromium", *_FLAGS, f"--user-data-dir={profile}", *arguments]


class Elsewhere:
    """A web site on another port of this machine, with the pages it is given."""

    def __init__(self, pages: dict[str, str]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.split("?")[0]
                body = pages.get(path, "").encode()
                self.send_response(200 if path in pages else 404)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self) -> int:
        """Return its port."""
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return int(self._server.server_address[1])

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
