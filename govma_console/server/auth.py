"""Who sent a request, and what that allows."""

from __future__ import annotations

from starlette.requests import Request

from govma_console.server.connection import PEER
from govma_console.server.responses import Refusal
from govma_console.server.state import Caller, Site
from govma_core.text.language import tr

_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
CHALLENGE = {"www-authenticate": "Bearer"}


def site_of(request: Request) -> Site:
    """Return the state of the server that got a request."""
    site: Site = request.app.state.site
    return site


def caller_of(request: Request) -> Caller:
    """Return who sent a request; refused when it comes with a token that is nobody's."""
    values = request.headers.getlist("authorization")
    forwarded = any(name in request.headers for name in _FORWARDED)
    if not values:
        return Caller(request.scope[PEER], forwarded=forwarded)
    scheme, _, token = values[0].partition(" ")
    name = site_of(request).tokens.name_of(token.strip()) if scheme.lower() == "bearer" and len(values) == 1 else ""
    if not name:
        raise Refusal(401, tr("The token of this request is not in token_file."), headers=CHALLENGE)
    return Caller(request.scope[PEER], name, forwarded)


def reader(request: Request) -> Caller:
    """Return who sent a request that reads, or deploys the configured branch; refused when it comes from elsewhere."""
    caller = caller_of(request)
    if not site_of(request).may_deploy(caller):
        raise Refusal(
            401,
            tr("From another machine, or through a proxy, this takes a token (`govma-console token NAME`)."),
            headers=CHALLENGE,
        )
    return caller


def changer(request: Request) -> Caller:
    """Return who sent a request that changes more than that; refused without a token or the right unix socket."""
    caller = caller_of(request)
    if not site_of(request).may_change(caller):
        raise Refusal(
            401,
            tr("This takes a token (`govma-console token NAME`), or root or unix_group by the unix socket."),
            headers=CHALLENGE,
        )
    return caller
