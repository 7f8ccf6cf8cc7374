"""A line to the Docker engine that a test can cut, as when the engine dies."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.engine import Engine


class CutLine:
    """Passes connections to a UNIX socket on to the engine's, until it is cut."""

    def __init__(self, path: Path, engine: Engine) -> None:
        self.host = f"unix://{path}"
        self._engine = engine.host.removeprefix("unix://")
        self._path = path
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        self._ends: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._server.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(self._engine)
                self._ends += [near, far]
                for source, target in ((near, far), (far, near)):
                    thread = threading.Thread(target=self._pass_on, args=(source, target))
                    thread.start()
                    self._threads.append(thread)

    @staticmethod
    def _pass_on(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        """End every connection, and take no new ones."""
        self._path.unlink(missing_ok=True)
        for end in (self._server, *self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.cut()
        for thread in self._threads:
            thread.join()
        for end in (self._server, *self._ends):
            end.close()


@contextmanager
def cut_line(path: Path, engine: Engine) -> Iterator[CutLine]:
    """Yield a line to the engine at a new socket."""
    line = CutLine(path, engine)
    try:
        yield line
    finally:
        line.close()
