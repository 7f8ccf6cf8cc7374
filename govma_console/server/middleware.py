"""ASGI middleware for every request: the guard against browsers, rates, bounds of the body, and faults of our own."""

from __future__ import annotations

import asyncio
import logging
import traceback
from contextlib import suppress

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from govma_console.server.auth import token_name
from govma_console.server.browser_guard import refusal_reason
from govma_console.server.connection import ABORT, GIVEN_UP, PEER
from govma_console.server.peer import Peer
from govma_console.server.responses import Refusal, refusal_response
from govma_console.server.state import Site
from govma_core.errors import ConfigurationError
from govma_core.text.language import tr

BODY_BYTES = 1 << 16
HOOK_BODY_BYTES = 25 << 20
"""What GitHub sends at most; it is read part by part."""
BODY_SECONDS = 10.0
"""Seconds in which the whole body of a request must be there."""
_DISCARDED_BYTES = HOOK_BODY_BYTES + (4 << 20)
_DISCARDED_SECONDS = 5.0
CLOSE = {"connection": "close"}
_WITHOUT_BODY = ("GET", "HEAD")

log = logging.getLogger("govma.http")


class RequestGuard:
    """Refuses what may not reach an endpoint; `names` are those that a request may be addressed to."""

    def __init__(self, app: ASGIApp, site: Site, names: frozenset[str]) -> None:
        self._app = app
        self._site = site
        self.names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to a request."""
        has_response = False

        async def send_response(message: Message) -> None:
            nonlocal has_response
            has_response = True
            await send(message)

        try:
            if scope[GIVEN_UP]:
                scope[ABORT]()
                raise ClientDisconnect
            self._check(scope)
            await self._app(scope, _bound_body(scope, receive), send_response)
        except Refusal as refusal:
            if refusal.status == 413:
                await _discard_body(scope, receive)
            await refusal_response(Request(scope), refusal)(scope, receive, send_response)
        except ClientDisconnect:
            log.info(tr("%s hung up before the request was read."), scope[PEER].key)
        except Exception:
            log.error(tr("A fault of govma-console in an answer; please report it.\n%s"), traceback.format_exc())
            if not has_response:
                fault = Refusal(500, tr("This is a fault of govma-console; its log says more."))
                await refusal_response(Request(scope), fault)(scope, receive, send_response)

    def _check(self, scope: Scope) -> None:
        if scope["http_version"] not in ("1.0", "1.1"):
            raise Refusal(505, tr("HTTP/1.1 and HTTP/1.0 are spoken here."), headers=CLOSE)
        peer: Peer = scope[PEER]
        # First: refusals are logged, and the log must not be flooded either.
        wait, is_repeated = self._site.rate.take(peer.key)
        if wait:
            sentence = tr("More requests than a caller may make in a minute (requests_per_minute).")
            raise Refusal(429, sentence, retry=wait, headers=CLOSE, reason="" if is_repeated else None)
        names = None if peer.unix else self.names
        reason = refusal_reason(scope["headers"], scope["http_version"], names, lambda: self._has_token(scope))
        if reason:
            raise Refusal(403, reason, headers=CLOSE if scope["method"] not in _WITHOUT_BODY else None)
        headers = dict(scope["headers"])
        if headers.get(b"transfer-encoding", b"chunked").strip().lower() != b"chunked":
            # The parser finds no end of such a body, and says so only when the request is on its way already.
            raise Refusal(501, tr("Of transfer codings, chunked is known here."), headers=CLOSE)
        length = headers.get(b"content-length", b"0")
        has_body = length.strip() != b"0" or b"transfer-encoding" in headers
        if has_body and scope["method"] in _WITHOUT_BODY:
            raise Refusal(413, tr("A {scope} has no body here.", scope=scope["method"]), headers=CLOSE)
        if length.isdigit() and int(length) > _body_limit(scope):
            raise _body_too_large(scope)

    def _has_token(self, scope: Scope) -> bool:
        # What is wrong with token_file is told to those who need one.
        with suppress(ConfigurationError):
            return bool(token_name(Request(scope), self._site))
        return False


def _bound_body(scope: Scope, receive: Receive) -> Receive:
    """Return a receive() that refuses a body which is too large or too slow."""
    room = _body_limit(scope)
    is_complete = False
    deadline = asyncio.get_running_loop().time() + BODY_SECONDS

    async def receive_part() -> Message:
        nonlocal room, is_complete
        if is_complete:
            return await receive()
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            raise Refusal(408, tr("The body of the request did not come in time."), headers=CLOSE) from None
        room -= len(message.get("body", b""))
        is_complete = not message.get("more_body", False)
        if room < 0:
            if not is_complete:
                await _discard_body(scope, receive)
            raise _body_too_large(scope)
        return message

    return receive_part


async def _discard_body(scope: Scope, receive: Receive) -> None:
    """Read the rest of a body that is refused, within bounds.

    Closed with bytes unread, a connection is reset, and the client may never see the answer.
    """
    if b"expect" in dict(scope["headers"]):
        # This client waits for our permission before it sends.
        return
    room = _DISCARDED_BYTES
    with suppress(TimeoutError):
        async with asyncio.timeout(_DISCARDED_SECONDS):
            while room > 0:
                message = await receive()
                room -= len(message.get("body", b""))
                if not message.get("more_body", False):
                    return


def _body_limit(scope: Scope) -> int:
    return HOOK_BODY_BYTES if scope["path"].startswith("/hooks/") else BODY_BYTES


def _body_too_large(scope: Scope) -> Refusal:
    return Refusal(413, tr("The body may have {most} bytes at most here.", most=_body_limit(scope)), headers=CLOSE)
