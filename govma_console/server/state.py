"""What all requests share: the settings, the runs, what they are looked up in, and the limits."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE
from dataclasses import dataclass
from typing import Any

from govma_console.server.limits import RateLimit, Slots
from govma_console.server.peer import Peer, user_name
from govma_console.server.responses import Refusal
from govma_console.server.run_feed import RunFeed
from govma_console.server.tokens import Tokens
from govma_core.deploy import directories, source
from govma_core.errors import GovmaError
from govma_core.runs.launch import Requester, StartedRun, launch, obstacle, prepare_store
from govma_core.runs.lock import lock_holder
from govma_core.runs.queue import Admission, admit, with_key
from govma_core.settings import Settings
from govma_core.text.language import tr
from govma_core.versions.holds import HoldStore


class SharedCommand:
    """One of our commands, run on demand; requests that come meanwhile share its output.

    `arguments` choose its settings; `subject` is what it looks at, for the refusal when it fails.
    """

    def __init__(self, arguments: tuple[str, ...], command: str, subject: str) -> None:
        self._subject = subject
        self._command = (sys.executable, "-P", "-m", "govma_console.cli", *arguments, command, "--json")
        self._task: asyncio.Task[bytes] | None = None

    async def output(self) -> bytes:
        """Return the JSON that it prints."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())
        return await asyncio.shield(self._task)

    async def _run(self) -> bytes:
        # It forks, which a process with threads should not; and its memory is not ours to keep.
        process = await asyncio.create_subprocess_exec(*self._command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, cwd="/")
        output, errors = await process.communicate()
        if process.returncode:
            reason = errors.decode("utf-8", "replace")[-500:].strip()
            raise Refusal(503, tr("{what} could not be looked at: {strip}", what=self._subject, strip=reason))
        return output


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request: the far end, and the name of the token that came with it."""

    peer: Peer
    token: str = ""
    is_forwarded: bool = False
    """Whether a proxy sends it for another caller, who may be anywhere."""

    def requester(self) -> Requester:
        """Return the caller as a run's record names it."""
        uid = self.peer.uid
        name = user_name(uid) if uid is not None else self.peer.remote[0] if self.peer.remote else "?"
        line = "unix socket" if self.peer.remote is None else f"{self.peer.remote[0]}:{self.peer.remote[1]}"
        origin = (
            f"http, {line}" + (f", uid {uid}" if uid is not None else "") + (", a proxy" if self.is_forwarded else "")
        )
        return Requester(self.token or name, f"{origin}, token {self.token}" if self.token else origin)


def _refusal(settings: Settings) -> str:
    return obstacle() or directories.refusal(settings) or source.refusal(settings)


class Site:
    """The state of one server."""

    def __init__(self, settings: Settings, config_arguments: tuple[str, ...] = ()) -> None:
        self.store = prepare_store(settings)
        self.feed = RunFeed(self.store)
        self.streams = Slots(settings.max_streams)
        self.usage_command = SharedCommand(config_arguments, "usage", tr("The disk"))
        self.services_command = SharedCommand(config_arguments, "services", tr("The containers"))
        self.draining = False
        self.own_runs: list[StartedRun] = []
        self._refusal: asyncio.Task[str] | None = None
        self._launches: set[asyncio.Task[None]] = set()
        self.apply(settings)

    def apply(self, settings: Settings) -> None:
        """Take settings, the first ones or those of a reload; state_dir stays what it was."""
        self.settings = settings
        self.tokens = Tokens(settings.token_file)
        self.rate = RateLimit(settings.requests_per_minute)
        self.streams.most = settings.max_streams

    async def refusal(self) -> str:
        """Return why a deploy would be refused now, '' when it would begin; requests that come meanwhile share it.

        While a run is at work, which may be moving the checkout, it is what was so before.
        """
        if self._refusal is None or (self._refusal.done() and lock_holder(self.store.state_dir) is None):
            self._refusal = asyncio.create_task(asyncio.to_thread(_refusal, self.settings))
        return await asyncio.shield(self._refusal)

    def admit(
        self,
        operation: str,
        arguments: dict[str, Any],
        caller: Caller,
        *,
        policy: str,
        key: str = "",
        retry_failed: bool = False,
    ) -> Admission:
        """Return the run that serves a request; errors as those of govma_core.runs.queue.admit().

        HeldError while all deploys are held, unless this one is forced, or was admitted before.
        """
        if self.draining:
            raise GovmaError("This server is stopping; ask again in a moment.")
        if (
            operation == "deploy"
            and not arguments.get("force")
            and not (key and with_key(self.store, key, retry_failed=retry_failed))
        ):
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
            retry_failed=retry_failed,
        )

    def launch(self, admission: Admission) -> None:
        """Start the process of a run that was admitted; its record says when that cannot be done."""
        if admission.fresh:
            task = asyncio.get_running_loop().create_task(self._launch(admission))
            self._launches.add(task)
            task.add_done_callback(self._launches.discard)

    async def _launch(self, admission: Admission) -> None:
        try:
            run = await asyncio.to_thread(launch, self.store, admission.record)
        except GovmaError:
            return
        self.own_runs = [*self.running(), run]

    def running(self) -> list[StartedRun]:
        """Return the runs of this server that have not ended."""
        self.own_runs = [run for run in self.own_runs if not run.gone()]
        return self.own_runs

    async def wait_for_launches(self) -> None:
        """Wait until every run that was admitted has its process."""
        await asyncio.gather(*self._launches, return_exceptions=True)
