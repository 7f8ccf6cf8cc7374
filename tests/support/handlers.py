"""An HTTP server of 127.0.0.1 for the time of a block, which answers as a handler of the test says."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class QuietHandler(BaseHTTPRequestHandler):
    """One that prints no line for each request."""

    def log_message(self, *arguments: object) -> None:
        """Print nothing."""


@contextmanager
def serving(handler: type[QuietHandler]) -> Iterator[int]:
    """Serve until the block ends; give the port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
