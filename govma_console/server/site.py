"""What all requests share: the settings, the runs, who may, and how much."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from govma_console.server.callers import Peer, user_name
from govma_console.server.feeds import Feeds
from govma_console.server.limits import RateLimit, Slots
from govma_console.server.measured import Measured
from govma_console.server.tokens import Tokens
from govma_core.errors import GovmaError
from govma_core.language import tr
from govma_core.runs.launch import StartedRun, launch, prepared_store
from govma_core.runs.queue import Admission, admit
from govma_core.runs.requester import Requester
from govma_core.settings import Settings
from govma_core.versions.holds import HoldStore


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request: the far end, and the name of the token that came with it."""

    peer: Peer
    token: str = ""
    forwarded: bool = False
    """True when a proxy says that it asks for somebody else, who may be anywhere."""

    def requester(self) -> Requester:
        """Return the caller as a run's record names it."""
        uid = self.peer.uid
        who = user_name(uid) if uid is not None else self.peer.remote[0] if self.peer.remote else "?"
        line = "unix socket" if self.peer.remote is None else f"{self.peer.remote[0]}:{self.peer.remote[1]}"
        origin = f"http, {line}" + (f", uid {uid}" if uid is not None else "")
        return Requester(self.token or who, f"{origin}, token {self.token}" if self.token else origin)


class Site:
    """The state of one server."""

    def __init__(self, settings: Settings, config_arguments: tuple[str, ...] = ()) -> None:
        self.store = prepared_store(settings)
        self.feeds = Feeds(self.store)
        self.streams = Slots(settings.max_streams)
        self.measured = Measured(config_arguments, "usage", tr("The disk"))
        self.containers = Measured(config_arguments, "services", tr("The containers"))
        self.draining = False
        self.own: list[StartedRun] = []
        self._launches: set[asyncio.Task[None]] = set()
        self.use(settings)

    def use(self, settings: Settings) -> None:
        """Take settings, the first ones or those of a reload; state_dir stays what it was."""
        self.settings = settings
        self.tokens = Tokens(settings.token_file)
        self.rate = RateLimit(settings.requests_per_minute)
        self.streams.most = settings.max_streams

    def may_change(self, caller: Caller) -> bool:
        """Tell whether this caller may do everything: by a token; as root or one of unix_group by the unix socket."""
        peer = caller.peer
        if caller.token or not peer.unix:
            return bool(caller.token)
        return peer.superuser or peer.in_group(self.settings.unix_group)

    def may_deploy(self, caller: Caller) -> bool:
        """Tell whether this caller may deploy the configured branch, and read: everybody on this machine may."""
        local = caller.peer.loopback and not caller.forwarded
        return local or self.may_change(caller) or self.settings.allow_unauthenticated_remote

    def admit(
        self, operation: str, arguments: dict[str, Any], caller: Caller, *, policy: str, key: str = ""
    ) -> Admission:
        """Return the run that serves a request; errors as those of govma_core.runs.queue.admit().

        HeldError while all deploys are held, unless this one is forced, or was admitted before.
        """
        if self.draining:
            raise GovmaError(tr("This server is stopping; ask again in a moment."))
        if operation == "deploy" and not arguments.get("force") and not (key and self.store.with_key(key)):
            HoldStore(self.settings.state_dir).check()
        return admit(
            self.store,
            self.settings,
            operation,
            arguments,
            caller.requester(),
            policy=policy,
            most_waiting=self.settings.max_waiting,
            key=key,
        )

    def launch(self, admission: Admission) -> None:
        """Start the process of a run that was admitted; its record says when that cannot be done."""
        if admission.fresh:
            task = asyncio.get_running_loop().create_task(self._launch(admission))
            self._launches.add(task)
            task.add_done_callback(self._launches.discard)

    async def _launch(self, admission: Admission) -> None:
        try:
            started = await asyncio.to_thread(launch, self.store, admission.record)
        except GovmaError:
            return
        self.own = [*self.going(), started]

    def going(self) -> list[StartedRun]:
        """Return the runs of this server that have not ended."""
        self.own = [run for run in self.own if not run.gone()]
        return self.own

    async def launched(self) -> None:
        """Wait until every run that was admitted has its process."""
        await asyncio.gather(*self._launches, return_exceptions=True)
