"""Talking to systemd: readiness, status, watchdog, more time (sd_notify(3)), and the sockets it hands over."""

from __future__ import annotations

import os
import socket
import time

from govma_core.text.language import tr

_FIRST_FD = 3
"""SD_LISTEN_FDS_START of sd_listen_fds(3)."""
IDLE = tr("Waiting for requests")


class Notifier:
    """Tells the service manager the state of this process; does nothing when none started it."""

    def __init__(self) -> None:
        address = os.environ.pop("NOTIFY_SOCKET", "")
        self._status = ""
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        interval = os.environ.pop("WATCHDOG_USEC", "")
        is_addressed = os.environ.pop("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_seconds = int(interval) / 1e6 if is_addressed and interval.isdigit() else 0.0
        """Seconds within which watchdog() must be called, 0 without a watchdog."""

    def ready(self, note: str = "") -> None:
        """Tell that requests are answered; a note stands in the status' place until the next one."""
        self._send("READY=1", f"STATUS={note or self._status}")

    def status(self, text: str) -> None:
        """Set the line that systemctl shows."""
        self._status = text
        self._send(f"STATUS={text}")

    def reloading(self) -> None:
        """Tell that settings are being read again; ready() ends it."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str) -> None:
        """Tell that the service stops."""
        self._send("STOPPING=1", f"STATUS={status}")

    def watchdog(self) -> None:
        """Tell that all is well."""
        self._send("WATCHDOG=1")

    def extend(self, seconds: float) -> None:
        """Ask for so many seconds more, from now on."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        text = "\n".join(line.replace("\n", " ") for line in lines)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify:
                notify.settimeout(1)
                notify.sendto(text.encode("utf-8", "replace"), self._address)
        except OSError:
            # A manager that is gone must not stop what it started.
            return


def sockets_from_systemd() -> list[socket.socket]:
    """Return the listening sockets that systemd opened for us; child processes do not inherit them."""
    pid, count = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdigit():
        return []
    sockets = []
    for fd in range(_FIRST_FD, _FIRST_FD + int(count)):
        os.set_inheritable(fd, False)
        sockets.append(socket.socket(fileno=fd))
    return sockets
