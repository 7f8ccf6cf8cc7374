"""Whether the site answers while its containers are exchanged: asked every ten milliseconds, on this machine only."""

from __future__ import annotations

import http.client
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from urllib.parse import urlsplit

from govma_core.settings.load import on_this_machine

INTERVAL = 0.01
"""Seconds from the begin of one request to the next."""

_TIMEOUT = 1.0
_LATE = 0.03
_TIMES_USUAL = 3
_FAULT = 500
_FRONTS = ("nginx", "web", "proxy", "apache")
_USUAL = ("80/tcp", "8080/tcp", "443/tcp")


class Probe:
    """Asks one address again and again; `silent` seconds without an answer are those between two good ones.

    A request waits for the one before, so that a slow site is not asked twice at a time. One that takes much longer
    than usual is not waited for: packets to a container that has just ended are lost, and its answer never comes.
    """

    def __init__(self, url: str, host: str = "") -> None:
        self.url, self.host = url, host
        self.answered = False
        """True when it answered before anything was done."""
        self._gone = self._last_good = self._first_bad = 0.0
        self._late = _LATE
        self._lock = threading.Lock()
        self._stop, self._good = threading.Event(), threading.Event()

    @property
    def silent(self) -> float:
        """Return the seconds without an answer until now."""
        with self._lock:
            return self._gone + (time.monotonic() - self._last_good if self._first_bad else 0.0)

    def answers(self, patience: float) -> bool:
        """Wait for an answer that comes from now on; False when none does within `patience` seconds."""
        self._good.clear()
        return self._good.wait(patience)

    def ask(self) -> bool:
        """Ask once; an answer is one that is not the server's own failure (5xx)."""
        parts = urlsplit(self.url)
        kind: Callable[..., http.client.HTTPConnection] = http.client.HTTPConnection
        if parts.scheme == "https":
            # The certificate is of the site's name, not of this address: that it answers is all that is asked.
            kind = partial(http.client.HTTPSConnection, context=ssl._create_unverified_context())  # noqa: S323
        connection = kind(parts.hostname or "127.0.0.1", parts.port, timeout=_TIMEOUT)
        headers = {"User-Agent": "govma-console", "Connection": "close"} | ({"Host": self.host} if self.host else {})
        with suppress(OSError, http.client.HTTPException), closing(connection):
            connection.request("GET", "/", headers=headers)
            return connection.getresponse().status < _FAULT
        return False

    def _ask_once(self) -> None:
        began = time.monotonic()
        good = self.ask()
        now = time.monotonic()
        with self._lock:
            if self._stop.is_set():
                return
            if good:
                if self._first_bad:
                    self._gone += now - self._last_good
                self._first_bad, self._last_good = 0.0, now
                self._good.set()
            elif self.answered and began > self._last_good and not self._first_bad:
                # One that began before the last good answer was lost on the way, and says nothing of now.
                self._first_bad = now

    def _run(self) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            asking = threading.Thread(target=self._ask_once, name="probe", daemon=True)
            asking.start()
            asking.join(self._late)
            self._stop.wait(max(0.0, began + INTERVAL - time.monotonic()))

    @contextmanager
    def going(self) -> Iterator[None]:
        """Ask all the while; a site that did not answer before is not missed, and without an address none is asked."""
        if not self.url:
            yield
            return
        for _ in range(3):
            began = time.monotonic()
            self.answered = self.ask() or self.answered
            self._last_good = time.monotonic()
            self._late = max(_LATE, _TIMES_USUAL * (self._last_good - began))
        thread = threading.Thread(target=self._run, name="probing", daemon=True)
        thread.start()
        try:
            yield
        finally:
            with self._lock:
                if self._first_bad:
                    self._gone, self._first_bad = self._gone + time.monotonic() - self._last_good, 0.0
                self._stop.set()
            thread.join()


def address(ports: dict[str, list[tuple[str, str, str]]], *configured: str) -> str:
    """Return the address to ask: the first configured one, else a published port of the service that serves.

    Another machine's is not asked a hundred times a second; '' when there is none. `ports` are the published ports by
    service: address, port, `port/protocol` inside.
    """
    for url in configured:
        if url and on_this_machine(url):
            return url
    fronts = {service: place for place, service in enumerate(_FRONTS)}
    ranked = sorted(
        # By what usually is HTTP, then by what usually stands in front.
        (_USUAL.index(inside), fronts.get(service, len(fronts)), service, address or "127.0.0.1", published, inside)
        for service, published_ports in ports.items()
        for address, published, inside in published_ports
        # Not any port: a database would take the requests for an attack.
        if published and inside in _USUAL
    )
    for *_, host, published, inside in ranked:
        if host.startswith("127.") or host in ("localhost", "::1"):
            host_part = f"[{host}]" if ":" in host else host
            return f"{'https' if inside == '443/tcp' else 'http'}://{host_part}:{published}"
    return ""
