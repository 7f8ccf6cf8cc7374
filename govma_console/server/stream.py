"""Responses that stream a run's events to a client, as its plain log or as server-sent events."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, TypeVar

from starlette.types import Receive, Scope, Send

from govma_console.formats import seconds
from govma_console.narration import plain_text
from govma_console.server.connection import ABORT, PEER, UNCHUNKED
from govma_console.server.peer import Peer
from govma_console.server.responses import RETRY_SECONDS, Refusal
from govma_console.server.state import Site
from govma_core.errors import UsageError
from govma_core.events import LogLine, RunFinished, StageStarted, from_json, to_json
from govma_core.runs.log import Piece
from govma_core.text.language import tr

Result = TypeVar("Result")

HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no", "x-content-type-options": "nosniff"}
PLAIN = {"content-type": "text/plain; charset=utf-8"}
STALLED_SECONDS = 900.0
"""Seconds after which a client that reads nothing of what is sent to it is given up: others want its place."""
SILENT_SECONDS = 15.0
"""Seconds after which a line says what goes on: proxies cut what is idle for a minute."""

_PLAIN_OUTPUT = re.compile(rb'\{"event":"log","at":[0-9.e+]+,"level":"output","text":"([^"\\\x00-\x1f]*)"\}\n')
"""Output without anything that JSON escapes, as most is."""
_INDENT, _LINE_END = plain_text(LogLine(0.0, "output", "\0")).encode().split(b"\0")


def render_text(piece: Piece) -> bytes:
    """Return events as lines of the plain log, without the end of the run: each response tells that in its own way."""
    return b"".join(map(_render_line, piece.lines.splitlines(keepends=True)))


def _render_line(line: bytes) -> bytes:
    match = _PLAIN_OUTPUT.fullmatch(line)
    if match is not None:
        return _INDENT + match[1] + _LINE_END
    event = from_json(line)
    return b"" if event is None or isinstance(event, RunFinished) else plain_text(event).encode("utf-8", "replace")


def render_server_sent(piece: Piece) -> bytes:
    """Return events in the format of the WHATWG HTML standard, "Server-sent events"; ids are offsets."""
    texts = [f"id: {end}\nevent: {event.kind}\ndata: {to_json(event)}\n\n" for event, end in piece.events()]
    return "".join(texts).encode("utf-8", "replace")


def render_silence(doing: str) -> bytes:
    """Return the line of the plain log that says what goes on; no other one begins so."""
    return f"… {doing}\n".encode()


def comment_silence(doing: str) -> bytes:
    """Return the same as a comment between server-sent events."""
    return f": {doing}\n\n".encode()


def require_stream(site: Site, peer: Peer) -> None:
    """Refuse a request for a log when as many are being sent as may be, to all or to this caller."""
    if not site.streams.has_room(peer):
        raise Refusal(
            503, tr("{most} logs are being sent already (max_streams).", most=site.streams.most), retry=RETRY_SECONDS
        )


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, Result]) -> Result | None:
    """Return the result of `work`; None when the client hangs up before that: then it is cancelled."""
    working = asyncio.create_task(work)
    listening = asyncio.create_task(_wait_for_disconnect(receive))
    try:
        await asyncio.wait([working, listening], return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        working.cancel()
        listening.cancel()
        await asyncio.gather(working, listening, return_exceptions=True)


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@dataclass(frozen=True, kw_only=True)
class RunStream:
    """An ASGI response: what `render` makes of a run's events, from byte `offset` of the events file on.

    `first` comes before them and `last` after them; `skip` leaves out that many bytes at the start of all that. What
    `silence` makes of the stage and its time comes between them while there is nothing else, and does not count. With
    `to_end` the response ends with the run, else with what there is. A response whose `is_complete` is False for the
    run's end is left without its own end, which clients take for an error.
    """

    site: Site
    run_id: str
    render: Callable[[Piece], bytes]
    silence: Callable[[str], bytes] = render_silence
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    offset: int = 0
    skip: int = 0
    to_end: bool = True
    first: bytes = b""
    last: Callable[[RunFinished], bytes] = lambda end: b""
    is_complete: Callable[[RunFinished], bool] = lambda end: True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response; a client that stalls is cut off."""
        chunked = scope["http_version"] != "1.0"
        if not chunked:
            scope[UNCHUNKED]()
        headers = [(name.encode(), value.encode("latin-1")) for name, value in {**HEADERS, **self.headers}.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body"})
            return
        try:
            with self.site.streams.occupy(scope[PEER]):
                is_complete = await unless_gone(receive, self._send_body(send))
        except TimeoutError:
            scope[ABORT]()
            return
        if is_complete and chunked:
            await send({"type": "http.response.body"})

    async def _send_body(self, send: Send) -> bool:
        """Send the body part by part; return whether the response may be ended in peace."""
        skip, sent_at = self.skip, time.monotonic()

        async def send_part(part: bytes) -> None:
            nonlocal skip, sent_at
            body = part[skip:]
            skip = max(0, skip - len(part))
            if body:
                async with asyncio.timeout(STALLED_SECONDS):
                    await send({"type": "http.response.body", "body": body, "more_body": True})
                sent_at = time.monotonic()

        await send_part(self.first)
        end, stage = None, None
        async with aclosing(self.site.feed.follow(self.run_id, self.offset, to_end=self.to_end)) as pieces:
            async for piece in pieces:
                await send_part(self.render(piece))
                end = piece.finished
                for event, _ in piece.events(output=False):
                    stage = event if isinstance(event, StageStarted) else stage
                # Progress is no line, so that there may be silence while it comes.
                if end is None and self.to_end and time.monotonic() - sent_at >= SILENT_SECONDS:
                    skip, rest = 0, skip
                    await send_part(self.silence(self._doing(stage)))
                    skip = rest
        if end is None:
            # A run whose record is removed while it is followed has no end to tell.
            return not self.to_end
        await send_part(self.last(end))
        return self.is_complete(end)

    def _doing(self, stage: StageStarted | None) -> str:
        """Say what the run does, and for how long: its stage, where the client knows none as its record has it."""
        if stage is not None:
            return f"{stage.stage}, {seconds(time.time() - stage.at)}"
        try:
            record = self.site.store.read(self.run_id)
        except UsageError:
            return self.run_id
        return f"{record.stage or tr(record.state)}, {seconds(time.time() - (record.started or record.created))}"
