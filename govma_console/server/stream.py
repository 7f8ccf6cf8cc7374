"""Sending a run's events to one client for as long as both go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field

from starlette.types import Message, Receive, Scope, Send

from govma_console.server.connection import ABORT, PEER, UNCHUNKED
from govma_console.server.peer import Peer
from govma_console.server.responses import RETRY_SECONDS, Refusal
from govma_console.server.run_feed import Block
from govma_console.server.state import Site
from govma_core.events import RunFinished
from govma_core.text.language import tr

HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no", "x-content-type-options": "nosniff"}
STALLED_SECONDS = 900.0
"""Seconds after which a client that reads nothing of what is sent to it is given up: others want its place."""
PLAIN = {"content-type": "text/plain; charset=utf-8"}


@dataclass(frozen=True, kw_only=True)
class RunStream:
    """An ASGI response: what `render` makes of a run's events, from byte `offset` of the events file on.

    `first` comes before them and `last` after them; `skip` leaves out that many bytes at the start of all that. With
    `stay` the response ends with the run, else with what there is. An answer of `ends_whole` that is False leaves the
    response without its end, which clients take for an error.
    """

    site: Site
    run_id: str
    render: Callable[[Block], bytes]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    offset: int = 0
    skip: int = 0
    stay: bool = True
    first: bytes = b""
    last: Callable[[RunFinished], bytes] = lambda end: b""
    ends_whole: Callable[[RunFinished], bool] = lambda end: True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        chunked = scope["http_version"] != "1.0"
        if not chunked:
            scope[UNCHUNKED]()
        headers = [(name.encode(), value.encode("latin-1")) for name, value in {**HEADERS, **self.headers}.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        try:
            whole = await self._body(scope[PEER], receive, send)
        except TimeoutError:
            scope[ABORT]()
            return
        if whole and chunked:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _body(self, peer: Peer, receive: Receive, send: Send) -> bool:
        skip = self.skip
        # A run whose record is removed while it is followed has no end to tell.
        whole = not self.stay
        with self.site.streams.one(peer):
            async with Listener(receive) as listener, aclosing(self._parts(listener)) as parts:
                async for part, end in parts:
                    left = part[skip:]
                    skip = max(0, skip - len(part))
                    if left:
                        async with asyncio.timeout(STALLED_SECONDS):
                            await send(_body(left))
                    if listener.gone:
                        return False
                    whole = self.ends_whole(end) if end is not None else not self.stay
        return whole

    async def _parts(self, listener: Listener) -> AsyncGenerator[tuple[bytes, RunFinished | None], None]:
        if self.first:
            yield self.first, None
        end = None
        async with aclosing(self.site.feeds.follow(self.run_id, self.offset, listener.wake)) as blocks:
            async for block in blocks:
                end = block.finished
                yield self.render(block), None
                if not self.stay and block.empty:
                    return
        if end is not None:
            yield self.last(end), end


def require_stream(site: Site, peer: Peer) -> None:
    """Refuse a request for a log when as many are being sent as may be, to all or to this caller."""
    if not site.streams.free(peer):
        raise Refusal(
            503, tr("{most} logs are being sent already (max_streams).", most=site.streams.most), retry=RETRY_SECONDS
        )


class Listener:
    """Notices that a client is gone while nothing is sent to it."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.wake = asyncio.Event()
        self.gone = False

    async def __aenter__(self) -> Listener:
        self._task = asyncio.get_running_loop().create_task(self._listen())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        self.wake.set()


def _body(data: bytes) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": True}
