"""The life of the server process: start, reload, and a stop that waits for the runs that it started."""

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

import uvicorn

from govma_console.server.app import make_app
from govma_console.server.browser_guard import allowed_names
from govma_console.server.connection import Connection
from govma_console.server.logging import start_logging
from govma_console.server.run_journal import RunJournal
from govma_console.server.sockets import Listeners, hosts_of, open_listeners
from govma_console.server.state import Site
from govma_console.server.systemd import IDLE, Notifier
from govma_core.errors import ConfigurationError, ExitCode, GovmaError
from govma_core.process.descendants import descendants_of
from govma_core.runs.launch import StartedRun
from govma_core.settings import Settings
from govma_core.text.language import tr

SHORT_CONNECTIONS = 200
"""Connections beyond max_streams that may be open: short requests, and those that say nothing."""
KEEP_ALIVE_SECONDS = 15
WATCHDOG_SECONDS = 0.5
SETTLE_SECONDS = 0.02
FAREWELL_SECONDS = 2.0
"""Seconds that clients have to take the end of their logs."""
DRAIN_POLL_SECONDS = 0.2
EXTENSION_SECONDS = 15.0
"""Seconds that the service manager is asked for again and again while a run goes on."""
CLEANUP_SECONDS = 60.0
"""Seconds that a cancelled run has to clean up."""

_NEED_RESTART = ("listen_addr", "unix_socket", "unix_group", "state_dir", "allow_unauthenticated_remote", "language")

log = logging.getLogger("govma.server")
drain_log = logging.getLogger("govma.stop")


def serve(load: Callable[[], Settings], config_arguments: tuple[str, ...]) -> int:
    """Serve until a signal says to stop, and return the exit code; ConfigurationError when it cannot begin.

    `load` reads the settings, now and at each SIGHUP; `config_arguments` choose the same ones on a command line. When
    standard error is the journal, the error is logged there.
    """
    in_journal = start_logging()
    try:
        settings = load()
        notifier = Notifier()
        listeners = open_listeners(settings)
        try:
            asyncio.run(_Server(Site(settings, config_arguments), load, notifier, listeners).run())
        finally:
            listeners.remove_name()
    except GovmaError as error:
        if not in_journal:
            raise
        log.error("%s", error)
        return int(error.exit_code)
    return int(ExitCode.OK)


class _Server:
    def __init__(self, site: Site, load: Callable[[], Settings], notifier: Notifier, listeners: Listeners) -> None:
        self._site = site
        self._load = load
        self._notifier = notifier
        self._listeners = listeners
        self._app = make_app(site, self._names())
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()

    async def run(self) -> None:
        server = _Uvicorn(
            uvicorn.Config(
                self._app,
                http=Connection,
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                limit_concurrency=self._site.settings.max_streams + SHORT_CONNECTIONS,
            )
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        serving = loop.create_task(server.serve(self._listeners.sockets))
        listening = loop.create_task(server.listening.wait())
        await asyncio.wait([serving, listening], return_when=asyncio.FIRST_COMPLETED)
        await self._run_until_stopped(server, serving)

    async def _run_until_stopped(self, server: _Uvicorn, serving: asyncio.Task[None]) -> None:
        loop = asyncio.get_running_loop()
        background = [
            loop.create_task(self._site.feed.watch()),
            loop.create_task(RunJournal(self._site, self._notifier).run()),
            loop.create_task(self._report_alive()),
        ]
        stopping = loop.create_task(self._stop.wait())
        self._notifier.status(IDLE)
        self._notifier.ready()
        log.info(tr("Listening on %s."), ", ".join(self._listeners.addresses()))
        for warning in self._listeners.warnings:
            log.warning("%s", warning)
        try:
            ended, _ = await asyncio.wait([serving, stopping, *background], return_when=asyncio.FIRST_COMPLETED)
            for task in ended - {stopping}:
                # None of them ends by itself: this raises its error.
                task.result()
            self._notifier.stopping("Stopping")
            server.should_exit = True
            await server.settle()
            await drain(self._site, self._notifier, self._hurry)
            await asyncio.wait([serving], timeout=FAREWELL_SECONDS)
            server.force_exit = True
            # A client that has not taken the end of its log by now would keep the server for ever.
            for connection in list(server.server_state.connections):
                connection.transport.abort()
            await serving
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)

    async def _report_alive(self) -> None:
        """Feed the watchdog of the service manager, and reap runs that ended."""
        while True:
            self._notifier.watchdog()
            self._site.running()
            await asyncio.sleep(min(WATCHDOG_SECONDS, self._notifier.watchdog_seconds / 3 or WATCHDOG_SECONDS))

    def _on_stop(self) -> None:
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def _reload(self) -> None:
        """Apply the settings as they are now; when they are wrong, that is logged and the former ones stay."""
        self._notifier.reloading()
        note = ""
        try:
            settings = self._load()
            unchanged = {name: getattr(self._site.settings, name) for name in _NEED_RESTART}
            for name, value in unchanged.items():
                if getattr(settings, name) != value:
                    log.warning(tr("%s was changed; that takes a restart."), name)
            self._site.apply(dataclasses.replace(settings, **unchanged))
            self._app.names = self._names()
            log.info(tr("The settings were read again."))
        except ConfigurationError as error:
            note = tr("The settings are wrong; the previous ones are kept")
            log.error(tr("The settings are wrong, keeping the previous ones: %s"), error)
        self._notifier.ready(note)

    def _names(self) -> frozenset[str]:
        return allowed_names(hosts_of(self._listeners.sockets), self._site.settings.allowed_hosts)


class _Uvicorn(uvicorn.Server):
    """Uvicorn that leaves signals to us, and tells when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        self.listening.set()

    async def settle(self) -> None:
        """Wait until no connection is accepted any more, and every accepted one has sent its request and is served."""
        for _ in range(round(FAREWELL_SECONDS / SETTLE_SECONDS)):
            if not self._may_get_requests():
                break
            await asyncio.sleep(SETTLE_SECONDS)
        # The last request begins to be served.
        await asyncio.sleep(SETTLE_SECONDS)

    def _may_get_requests(self) -> bool:
        return any(each.is_serving() for each in self.servers) or any(
            isinstance(each, Connection) and each.is_unanswered for each in self.server_state.connections
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take no signal."""
        yield


async def drain(site: Site, notifier: Notifier, hurry: asyncio.Event) -> None:
    """Wait for this server's runs, drain_timeout seconds at most or until `hurry`; then cancel them and wait for that.

    A run that waits for the service manager, which waits for us, is moved out of the service and left to itself.
    """
    start = time.monotonic()
    site.draining = True
    if site.running():
        drain_log.info(tr("Stopping when the current run has ended, in %d s at most."), site.settings.drain_timeout)
    cancel_time = extension_time = 0.0
    while runs := await _runs_to_wait_for(site):
        record = runs[0].record
        now = time.monotonic()
        if now - extension_time > EXTENSION_SECONDS / 3:
            notifier.extend(EXTENSION_SECONDS)
            notifier.status(tr("Stopping: waiting for {operation} {id}", operation=record.operation, id=record.id))
            extension_time = now
        if not cancel_time and (hurry.is_set() or now - start >= site.settings.drain_timeout):
            drain_log.warning(tr("The run did not end in time and is cancelled."), extra={"run": record.id})
            for run in runs:
                run.process.send_signal(signal.SIGTERM)
            cancel_time = now
        if cancel_time and now - cancel_time > CLEANUP_SECONDS:
            drain_log.error(tr("The run did not clean up in time."), extra={"run": record.id})
            return
        await asyncio.sleep(DRAIN_POLL_SECONDS)


async def _runs_to_wait_for(site: Site) -> list[StartedRun]:
    await site.wait_for_launches()
    for run in site.running():
        # A systemctl may wait until this server has stopped.
        if any(each.name == "systemctl" for each in descendants_of(run.process.pid)) and await _move_to_scope(run):
            site.own_runs.remove(run)
    return site.running()


async def _move_to_scope(run: StartedRun) -> bool:
    """Move a run into a scope of its own (org.freedesktop.systemd1, StartTransientUnit); False when that fails."""
    pids = [str(run.process.pid), *(str(each.pid) for each in descendants_of(run.process.pid))]
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
    drain_log.warning(tr("The run restarts this service: it continues as %s."), unit, extra={"run": run.record.id})
    return True
