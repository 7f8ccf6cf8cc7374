"""Whether the site answers while its containers are exchanged: asked every ten milliseconds, on this machine only."""

from __future__ import annotations

import http.client
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

INTERVAL = 0.01
"""Seconds from the begin of one request to the next; the next one waits for the one before."""

_TIMEOUT = 1.0
_FAULT = 500
_FRONTS = ("nginx", "web", "proxy", "apache")
_USUAL = ("80/tcp", "8080/tcp", "443/tcp")


@dataclass
class Probe:
    """Asks one address in a thread of its own. `silent` seconds without an answer are those between two good ones."""

    url: str
    host: str = ""
    answered: bool = False
    """True when it answered before anything was done."""
    _gone: float = 0.0
    _last_good: float = 0.0
    _first_bad: float = 0.0
    _longest: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)
    _good: threading.Event = field(default_factory=threading.Event)

    @property
    def silent(self) -> float:
        """Give the seconds without an answer until now."""
        return self._gone + (time.monotonic() - self._last_good if self._first_bad and self.answered else 0.0)

    @property
    def longest(self) -> float:
        """Give the longest time without an answer, in seconds."""
        return self._longest

    def answers(self, patience: float) -> bool:
        """Wait for an answer that begins from now on; False when none comes within `patience` seconds."""
        self._good.clear()
        return self._good.wait(patience)

    def ask(self) -> bool:
        """Ask once; an answer is one that is not the server's own failure (5xx)."""
        parts = urlsplit(self.url)
        host, port = parts.hostname or "127.0.0.1", parts.port
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            # The certificate is of the site's name, not of this address: that it answers is all that is asked.
            context = ssl._create_unverified_context()  # noqa: S323
            connection = http.client.HTTPSConnection(host, port, timeout=_TIMEOUT, context=context)
        else:
            connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT)
        try:
            headers = {"User-Agent": "govma-console", "Connection": "close"}
            connection.request("GET", "/", headers=headers | ({"Host": self.host} if self.host else {}))
            return connection.getresponse().status < _FAULT
        except (OSError, http.client.HTTPException):
            return False
        finally:
            with suppress(OSError):
                connection.close()

    def run(self) -> None:
        """Ask until it is stopped."""
        due = time.monotonic()
        while not self._stop.is_set():
            good = self.ask()
            now = time.monotonic()
            if good:
                if self._first_bad:
                    silent = now - self._last_good
                    self._gone, self._longest = self._gone + silent, max(self._longest, silent)
                self._first_bad, self._last_good = 0.0, now
                self._good.set()
            elif not self._first_bad and self.answered:
                self._first_bad = now
            due = max(due + INTERVAL, now)
            self._stop.wait(max(0.0, due - time.monotonic()))

    @contextmanager
    def going(self) -> Iterator[None]:
        """Ask all the while; a site that did not answer before is not missed."""
        self.answered = any(self.ask() for _ in range(2))
        self._last_good = time.monotonic()
        thread = threading.Thread(target=self.run, name="probe", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()


def address(configured: str, ports: dict[str, list[tuple[str, str, str]]]) -> str:
    """Give the address to ask: the configured one, else a published port of the service that serves ('' without one).

    `ports` are the published ports by service: address, port, `port/protocol` inside.
    """
    if configured:
        return configured
    ranked = sorted(
        (_rank(service, inside), address or "127.0.0.1", published, inside)
        for service, found in ports.items()
        for address, published, inside in found
        # Not any port: a database would take the requests for an attack.
        if published and inside in _USUAL
    )
    for _, host, published, inside in ranked:
        if host.startswith("127.") or host in ("localhost", "::1"):
            shown = f"[{host}]" if ":" in host else host
            return f"{'https' if inside == '443/tcp' else 'http'}://{shown}:{published}"
    return ""


def _rank(service: str, inside: str) -> tuple[int, int, str]:
    """Order by what usually stands in front, then by what usually is HTTP."""
    front = _FRONTS.index(service) if service in _FRONTS else len(_FRONTS)
    return _USUAL.index(inside), front, service
