"""The life of the server process: from its settings to its last line."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn

from govma_console.server import journal
from govma_console.server.app import make_app
from govma_console.server.front import Front
from govma_console.server.guard import allowed_names
from govma_console.server.listeners import Listeners, hosts_of, open_listeners
from govma_console.server.monitor import IDLE, Monitor
from govma_console.server.protocol import Connection
from govma_console.server.site import Site
from govma_console.server.stopping import FAREWELL_SECONDS, drain
from govma_console.server.systemd import Notifier
from govma_core.errors import ConfigurationError, ExitCode, GovmaError
from govma_core.language import tr
from govma_core.settings import Settings

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
    in_journal = journal.begin()
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
            loop.create_task(self._site.feeds.run()),
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
            isinstance(each, Connection) and (each.awaited or each.unanswered) for each in self.server_state.connections
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take no signal."""
        yield
