"""Talking to systemd: readiness, status, watchdog, more time (sd_notify(3)), and the sockets it hands over."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from contextlib import aclosing

from govma_console.server.run_feed import Block
from govma_console.server.state import Site
from govma_core.errors import GovmaError
from govma_core.events import LogLine, RunFinished, StageStarted
from govma_core.runs.store import RunRecord
from govma_core.text.language import tr

_FIRST_FD = 3
"""SD_LISTEN_FDS_START of sd_listen_fds(3)."""


class Notifier:
    """Sends the service manager what it wants to know; does nothing when none started us."""

    def __init__(self) -> None:
        address = os.environ.pop("NOTIFY_SOCKET", "")
        self._status = ""
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        interval = os.environ.pop("WATCHDOG_USEC", "")
        asked = os.environ.pop("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_seconds = int(interval) / 1e6 if asked and interval.isdigit() else 0.0
        """Seconds within which watchdog() must be called, 0 when nobody waits for it."""

    def ready(self, note: str = "") -> None:
        """Tell that requests are answered; a note stands in the status' place until the next one."""
        self._send("READY=1", f"STATUS={note or self._status}")

    def status(self, text: str) -> None:
        """Tell in a line what goes on."""
        self._status = text
        self._send(f"STATUS={text}")

    def reloading(self) -> None:
        """Tell that settings are being read again; ready() ends it."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str) -> None:
        """Tell that the end has begun."""
        self._send("STOPPING=1", f"STATUS={status}")

    def watchdog(self) -> None:
        """Tell that all is well."""
        self._send("WATCHDOG=1")

    def extend(self, seconds: float) -> None:
        """Ask for that much time, from now on, for what goes on."""
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


def handed_over() -> list[socket.socket]:
    """Return the listening sockets that systemd opened for us; a child process never takes them for its own."""
    pid, count = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdigit():
        return []
    sockets = []
    for fd in range(_FIRST_FD, _FIRST_FD + int(count)):
        os.set_inheritable(fd, False)
        sockets.append(socket.socket(fileno=fd))
    return sockets


IDLE = tr("Waiting for requests")

_RETRY_SECONDS = 5.0

log = logging.getLogger("govma.runs")
_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class Monitor:
    """Follows the runs of the site one after the other, as they take their turns."""

    def __init__(self, site: Site, notifier: Notifier) -> None:
        self._site = site
        self._notifier = notifier
        self._last = max(site.store.ids(), default="")

    async def run(self) -> None:
        """Follow every run that begins from now on, and those that go on; until cancelled."""
        going = [record.id for record in self._site.store.active()]
        while True:
            try:
                for run_id in going:
                    await self._follow(run_id)
                self._notifier.status(IDLE)
                going = [run_id for run_id in reversed(self._site.store.ids()) if run_id > self._last]
            except OSError as error:
                # No descriptors left, a directory that is gone: what runs goes on, and is told of when it can be.
                log.error(tr("Runs cannot be followed: %s."), error.strerror)
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            if going:
                self._last = going[-1]
            else:
                await self._site.feeds.new_run()

    async def _follow(self, run_id: str) -> None:
        try:
            record = self._site.store.read(run_id)
        except GovmaError:
            return
        log.info(tr("%s, asked for by %s (%s)"), record.operation, record.by, record.origin, extra={"run": run_id})
        async with aclosing(self._site.feeds.follow(run_id, 0, asyncio.Event())) as blocks:
            async for block in blocks:
                self._tell(record, block)

    def _tell(self, record: RunRecord, block: Block) -> None:
        extra = {"run": record.id}
        for event in block.told:
            match event:
                case StageStarted(_, stage):
                    self._notifier.status(f"{record.operation} {record.id}: {stage}")
                    log.info("stage %s", stage, extra=extra)
                case LogLine(_, level, text) if level in _LEVELS:
                    log.log(_LEVELS[level], "%s", text, extra=extra)
                case RunFinished(_, result, code, message):
                    log.log(
                        logging.INFO if result == "ok" else logging.ERROR,
                        tr("%s: %s (exit code %d)"),
                        result,
                        message,
                        code,
                        extra=extra,
                    )
