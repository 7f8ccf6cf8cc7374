"""One Docker engine for all processes of a test session: started by the first of them for whichever asks first.

The address of the desk is in the abstract namespace of sockets: nothing of it is on the disk, whoever is killed.
"""

from __future__ import annotations

import json
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from tests.support.engine import Engine, EngineUnavailableError, engine_for_tests

_PATIENCE = 240.0


class EngineDesk:
    """Tells whoever asks at `address` which engine to use, or why there is none, until it is closed."""

    def __init__(self) -> None:
        self.address = f"govma-test-desk-{secrets.token_hex(8)}"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(f"\0{self.address}")
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, name="engine desk")
        self._thread.start()

    def close(self) -> None:
        """End the engine, if it was started here."""
        # Wakes up who waits in accept(), which close() does not; closed already where that went wrong.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def _serve(self) -> None:
        with self._listener, ExitStack() as stack:
            answer = b""
            while True:
                try:
                    line, _ = self._listener.accept()
                except OSError:
                    return
                answer = answer or _answer(stack)
                # Who asked may be gone.
                with line, suppress(OSError):
                    line.sendall(answer)


def _answer(stack: ExitStack) -> bytes:
    try:
        engine = stack.enter_context(engine_for_tests())
    except EngineUnavailableError as error:
        return json.dumps({"unavailable": str(error)}).encode()
    return json.dumps({"host": engine.host, "private": engine.private}).encode()


@contextmanager
def engine_at(desk: str | None) -> Iterator[Engine]:
    """Yield the engine that the desk of this address tells of; without one, the engine of this process alone.

    Raises EngineUnavailableError where none is to be had.
    """
    if desk is None:
        with engine_for_tests() as engine:
            yield engine
        return
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(_PATIENCE)
        line.connect(f"\0{desk}")
        with line.makefile("rb") as stream:
            answer = json.loads(stream.read() or '{"unavailable": "the session that starts it is ending"}')
    if "unavailable" in answer:
        raise EngineUnavailableError(answer["unavailable"])
    yield Engine(**answer)
