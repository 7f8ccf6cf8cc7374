"""Stopping without harm to what runs: runs may end, for a bounded time; then they are cancelled, and cleaned up."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from asyncio.subprocess import DEVNULL
from pathlib import Path

from govma_console.server.site import Site
from govma_console.server.systemd import Notifier
from govma_core.language import tr
from govma_core.runs.launch import StartedRun

TICK = 0.2
_EXTENSION = 15.0
"""Seconds that the service manager is asked for again and again while a run goes on."""
CLEANUP_SECONDS = 60.0
"""Seconds a cancelled run has to clean up."""
FAREWELL_SECONDS = 2.0
"""Seconds clients have to take the end of their logs."""

log = logging.getLogger("govma.stop")


async def drain(site: Site, notifier: Notifier, hurry: asyncio.Event) -> None:
    """Wait for this server's runs, drain_timeout seconds at most or until `hurry`; then cancel them and wait for that.

    A run that waits for the service manager, which waits for us, is moved out of the service and left to itself.
    """
    began = time.monotonic()
    site.draining = True
    if site.going():
        log.info(tr("Stopping when the current run has ended, in %d s at most."), site.settings.drain_timeout)
    cancelled = 0.0
    extended = 0.0
    while runs := await _left(site):
        now = time.monotonic()
        if now - extended > _EXTENSION / 3:
            notifier.extend(_EXTENSION)
            notifier.status(
                tr("Stopping: waiting for {operation} {id}", operation=runs[0].record.operation, id=runs[0].record.id)
            )
            extended = now
        if not cancelled and (hurry.is_set() or now - began >= site.settings.drain_timeout):
            log.warning(tr("The run did not end in time and is cancelled."), extra={"run": runs[0].record.id})
            for run in runs:
                run.process.send_signal(signal.SIGTERM)
            cancelled = now
        if cancelled and now - cancelled > CLEANUP_SECONDS:
            log.error(tr("The run did not clean up in time."), extra={"run": runs[0].record.id})
            return
        await asyncio.sleep(TICK)


async def _left(site: Site) -> list[StartedRun]:
    await site.launched()
    for run in site.going():
        if _waits_for_manager(run.process.pid) and await _release(run):
            site.own.remove(run)
    return site.going()


def _waits_for_manager(pid: int) -> bool:
    """Tell whether one of a process' descendants is a `systemctl`: it may wait until this server has stopped."""
    return any(_name(each) == "systemctl" for each in _descendants(pid))


async def _release(run: StartedRun) -> bool:
    """Move a run into a scope of its own (org.freedesktop.systemd1, StartTransientUnit); False when that fails."""
    pids = [str(run.process.pid), *map(str, _descendants(run.process.pid))]
    unit = f"govma-run-{run.record.id}.scope"
    command = (
        *("busctl", "--system", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1"),
        *("org.freedesktop.systemd1.Manager", "StartTransientUnit", "ssa(sv)a(sa(sv))"),
        *(unit, "fail", "1", "PIDs", "au", str(len(pids)), *pids, "0"),
    )
    try:
        process = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL)
    except OSError:
        return False
    if await process.wait():
        return False
    log.warning(tr("The run restarts this service: it continues as %s."), unit, extra={"run": run.record.id})
    return True


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    todo = [pid]
    while todo:
        try:
            parent = todo.pop()
            children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        except OSError:
            continue
        todo += map(int, children)
        found += map(int, children)
    return found


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
