"""Refusals as responses: a sentence as plain text, below /api as JSON."""

from __future__ import annotations

import dataclasses
import json
import logging
import re
import time
from collections.abc import Mapping
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from govma_console.server.connection import PEER
from govma_core.errors import BusyError, ConfigurationError, ExitCode, GovmaError, HeldError, PreflightError, UsageError
from govma_core.runs.queue import QueueFullError
from govma_core.text.language import tr

log = logging.getLogger("govma.http")

RETRY_SECONDS = 30
_TARGET_CHARACTERS = 100
LOCKED = 423
"""Deploys are held: RFC 4918, 11.3, which says of what is locked that it is there and must not be changed."""


class Refusal(Exception):
    """Why a request is not carried out: the status, a sentence, and the seconds until the next try (0: none).

    It becomes a line of the journal, with a `reason` in place of the sentence; an empty one leaves that line out.
    """

    def __init__(
        self,
        status: int,
        sentence: str,
        *,
        retry: float = 0.0,
        headers: Mapping[str, str] | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.reason = (sentence or HTTPStatus(status).phrase) if reason is None else reason
        self.headers = dict(headers or {})
        if retry:
            self.headers["retry-after"] = str(max(1, round(retry)))


def refusal_of(error: GovmaError) -> Refusal:
    """Return the refusal that stands for an error of the core."""
    match error:
        case QueueFullError():
            return Refusal(429, str(error), retry=RETRY_SECONDS)
        case BusyError():
            return Refusal(409, str(error), retry=RETRY_SECONDS)
        case HeldError():
            return Refusal(LOCKED, str(error), retry=max(1.0, error.until - time.time()) if error.until else 0)
        case UsageError():
            return Refusal(422, str(error))
        case ConfigurationError() | PreflightError():
            return Refusal(503, str(error), retry=RETRY_SECONDS)
        case _:
            status = 403 if error.exit_code == ExitCode.REFUSED else 503
            return Refusal(status, str(error), retry=RETRY_SECONDS if status == 503 else 0)


def refusal_response(request: Request, refusal: Refusal) -> Response:
    """Return the response that tells a refusal, and write it into the journal."""
    sentence = str(refusal)
    if refusal.reason:
        log.warning(
            tr("Refused %s %s of %s (%d): %s"),
            request.method,
            _target(request),
            request.scope[PEER].key,
            refusal.status,
            " ".join(refusal.reason.split()),
        )
    if _is_api(request):
        return AsciiJson({"error": sentence}, refusal.status, refusal.headers)
    body = f"{sentence}\n".encode("utf-8", "replace") if sentence else b""
    return PlainTextResponse(body, refusal.status, refusal.headers)


class AsciiJson(JSONResponse):
    """JSON in ASCII, dataclasses as objects: names on the disk need not be UTF-8, and no response may fail for it."""

    def render(self, content: object) -> bytes:
        """Return the body."""
        return json.dumps(content, separators=(",", ":"), default=dataclasses.asdict).encode()


async def handle_error(request: Request, error: Exception) -> Response:
    """Respond to what an endpoint raised, or the router: no such path (an empty body), or not with this method."""
    match error:
        case GovmaError():
            error = refusal_of(error)
        case HTTPException(status_code=404):
            error = Refusal(404, tr("There is nothing here.") if _is_api(request) else "")
        case HTTPException():
            headers = {name.lower(): value for name, value in (error.headers or {}).items()}
            error = Refusal(
                error.status_code, tr("{method} is not answered here.", method=request.method), headers=headers
            )
    assert isinstance(error, Refusal)  # noqa: S101 - registered for nothing else
    return refusal_response(request, error)


ERROR_HANDLERS = dict.fromkeys((Refusal, GovmaError, HTTPException), handle_error)


def _target(request: Request) -> str:
    """Return what a request asks for as it was sent: percent signs keep it on one line of the journal.

    Without the values in its query: one of them may be meant to be a secret.
    """
    target: bytes = request.scope["raw_path"]
    if query := request.scope["query_string"]:
        target += b"?" + re.sub(rb"=[^&]*", b"=...", query)
    return ascii(target[:_TARGET_CHARACTERS].decode("latin-1"))[1:-1]


def _is_api(request: Request) -> bool:
    return request.url.path.startswith("/api/")
