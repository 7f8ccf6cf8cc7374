"""The life of the server process: from its settings to its last line."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import signal
import socket
import time
from asyncio.subprocess import DEVNULL
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn

from govma_console.server.app import make_app
from govma_console.server.connection import Connection
from govma_console.server.logging import start_logging
from govma_console.server.middleware import Front
from govma_console.server.monitor import Monitor
from govma_console.server.peer import allowed_names
from govma_console.server.sockets import Listeners, hosts_of, open_listeners
from govma_console.server.state import Site
from govma_console.server.systemd import IDLE, Notifier
from govma_core.errors import ConfigurationError, ExitCode, GovmaError
from govma_core.runs.launch import StartedRun
from govma_core.settings import Settings
from govma_core.text.language import tr

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


_KEEP_ALIVE = 15
_TICK = 0.5
_SETTLING = 0.02
_SPARE = 200
"""Connections beyond max_streams that may be open: short requests, and those that say nothing."""

_TAKE_A_RESTART = ("listen_addr", "unix_socket", "unix_group", "state_dir", "allow_unauthenticated_remote", "language")

log = logging.getLogger("govma.server")


def serve(load: Callable[[], Settings], config_arguments: tuple[str, ...]) -> int:
    """Serve until a signal says to stop, and give the exit code; ConfigurationError when it cannot begin.

    `load` reads the settings, now and at each SIGHUP; `config_arguments` choose the same ones on a command line. Where
    the journal is read, the error goes there, as one.
    """
    in_journal = start_logging()
    try:
        _serve(load, config_arguments)
    except GovmaError as error:
        if not in_journal:
            raise
        log.error("%s", error)
        return int(error.exit_code)
    return int(ExitCode.OK)


def _serve(load: Callable[[], Settings], config_arguments: tuple[str, ...]) -> None:
    settings = load()
    notifier = Notifier()
    listeners = open_listeners(settings)
    try:
        asyncio.run(_Server(settings, load, notifier, listeners, config_arguments).run())
    finally:
        listeners.remove_name()


class _Server:
    def __init__(
        self,
        settings: Settings,
        load: Callable[[], Settings],
        notifier: Notifier,
        listeners: Listeners,
        config_arguments: tuple[str, ...],
    ) -> None:
        self._load = load
        self._notifier = notifier
        self._listeners = listeners
        self._hosts = hosts_of(listeners.sockets)
        self._config_arguments = config_arguments
        self._settings = settings
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()

    async def run(self) -> None:
        self._site = Site(self._settings, self._config_arguments)
        front = make_app(self._site, self._names())
        self._front: Front = front
        server = _Uvicorn(
            uvicorn.Config(
                front,
                http=Connection,
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE,
                limit_concurrency=self._settings.max_streams + _SPARE,
            )
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        serving = loop.create_task(server.serve(self._listeners.sockets))
        begun = loop.create_task(server.begun.wait())
        await asyncio.wait([serving, begun], return_when=asyncio.FIRST_COMPLETED)
        await self._until_stopped(server, serving)

    async def _until_stopped(self, server: _Uvicorn, serving: asyncio.Task[None]) -> None:
        loop = asyncio.get_running_loop()
        helpers = [
            loop.create_task(self._site.feed.watch()),
            loop.create_task(Monitor(self._site, self._notifier).run()),
            loop.create_task(self._tick()),
        ]
        stopping = loop.create_task(self._stop.wait())
        self._notifier.status(IDLE)
        self._notifier.ready()
        log.info(tr("Listening on %s."), ", ".join(self._listeners.shown()))
        for note in self._listeners.notes:
            log.warning("%s", note)
        try:
            done, _ = await asyncio.wait([serving, stopping, *helpers], return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopping}:
                # None of them ends by itself.
                task.result()
            self._notifier.stopping("Stopping")
            server.should_exit = True
            await server.settled()
            await drain(self._site, self._notifier, self._hurry)
            await asyncio.wait([serving], timeout=FAREWELL_SECONDS)
            server.force_exit = True
            # Who has not taken the end of its log by now would keep us for ever.
            for connection in list(server.server_state.connections):
                connection.transport.abort()
            await serving
        finally:
            for task in helpers:
                task.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)

    async def _tick(self) -> None:
        """Be alive, as the service manager sees it, and take note of runs that ended."""
        while True:
            self._notifier.watchdog()
            self._site.going()
            await asyncio.sleep(min(_TICK, self._notifier.watchdog_seconds / 3 or _TICK))

    def _on_stop(self) -> None:
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def _reload(self) -> None:
        """Take the settings as they are now; wrong ones are told of, and the former ones kept."""
        self._notifier.reloading()
        note = ""
        try:
            settings = self._load()
            kept = {name: getattr(self._site.settings, name) for name in _TAKE_A_RESTART}
            for name, value in kept.items():
                if getattr(settings, name) != value:
                    log.warning(tr("%s was changed; that takes a restart."), name)
            self._site.use(dataclasses.replace(settings, **kept))
            self._front.names = self._names()
            log.info(tr("The settings were read again."))
        except ConfigurationError as error:
            note = tr("The settings are wrong; the previous ones are kept")
            log.error(tr("The settings are wrong, keeping the previous ones: %s"), error)
        self._notifier.ready(note)

    def _names(self) -> frozenset[str]:
        return allowed_names(self._hosts, self._site.settings.allowed_hosts)


class _Uvicorn(uvicorn.Server):
    """Uvicorn that leaves signals to us, and tells when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.begun = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        self.begun.set()

    async def settled(self) -> None:
        """Wait until nobody new is let in, and those who were have said what they want and get it: all are served."""
        for _ in range(round(FAREWELL_SECONDS / _SETTLING)):
            if not self._may_get_requests():
                break
            await asyncio.sleep(_SETTLING)
        # What came last is taken up.
        await asyncio.sleep(_SETTLING)

    def _may_get_requests(self) -> bool:
        return any(each.is_serving() for each in self.servers) or any(
            isinstance(each, Connection) and each.is_unanswered for each in self.server_state.connections
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take no signal."""
        yield
