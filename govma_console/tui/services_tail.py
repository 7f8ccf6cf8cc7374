"""The output of one service, followed by a thread of its own; the screen takes what has come at its own rate."""

from __future__ import annotations

import threading
from collections import deque

from govma_core.errors import GovmaError
from govma_core.language import tr
from govma_core.settings import Settings

_KEPT = 2000


class ServiceTail:
    """Follows until it is closed; lines that nobody takes are dropped, the oldest first."""

    def __init__(self, settings: Settings, service: str, lines: int) -> None:
        self._settings, self._service, self._lines = settings, service, lines
        self._held: deque[str] = deque(maxlen=_KEPT)
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def start(self) -> None:
        """Begin to follow."""
        threading.Thread(target=self._follow, name="service log", daemon=True).start()

    def take(self) -> list[str]:
        """Return the lines that came since the last time."""
        with self._lock:
            found = list(self._held)
            self._held.clear()
        return found

    def close(self) -> None:
        """Stop following."""
        self._closed.set()

    def _follow(self) -> None:
        from govma_core.operations.services_log import service_log

        try:
            with service_log(self._settings, self._service, self._lines, follow=True, until=self._closed) as batches:
                for batch in batches:
                    self._keep(batch)
            if not self._closed.is_set():
                self._keep([tr("(its output ends here)")])
        except (GovmaError, OSError) as error:
            self._keep(str(error).split("\n"))

    def _keep(self, lines: list[str]) -> None:
        with self._lock:
            self._held.extend(lines)
