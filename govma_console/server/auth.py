"""The caller of a request, and what it may do."""

from __future__ import annotations

from starlette.requests import Request

from govma_console.server.connection import PEER
from govma_console.server.responses import Refusal
from govma_console.server.state import Caller, Site
from govma_core.settings import Settings
from govma_core.text.language import tr

_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
CHALLENGE = {"www-authenticate": "Bearer"}


def get_site(request: Request) -> Site:
    """Return the state of the server that got a request."""
    site: Site = request.app.state.site
    return site


def token_name(request: Request, site: Site) -> str:
    """Return the name of the token that came with a request; '' without one that is in token_file."""
    values = request.headers.getlist("authorization")
    scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    return site.tokens.name_of(token.strip()) if scheme.lower() == "bearer" else ""


def authenticate(request: Request) -> Caller:
    """Return the caller; a request whose token is not in token_file is refused."""
    is_forwarded = any(name in request.headers for name in _FORWARDED)
    name = token_name(request, get_site(request))
    if not name and "authorization" in request.headers:
        raise Refusal(401, tr("The token of this request is not in token_file."), headers=CHALLENGE)
    return Caller(request.scope[PEER], name, is_forwarded)


def may_change(caller: Caller, settings: Settings) -> bool:
    """Tell whether a caller may do everything: by a token; as root or one of unix_group at the unix socket.

    A proxy there, which may be one of the group, speaks for others.
    """
    peer = caller.peer
    if caller.token or caller.is_forwarded or not peer.unix:
        return bool(caller.token)
    return peer.superuser or peer.in_group(settings.unix_group)


def may_deploy(caller: Caller, settings: Settings) -> bool:
    """Tell whether a caller may read and deploy the configured branch, as every user of this machine may."""
    is_local = caller.peer.loopback and not caller.is_forwarded
    return is_local or may_change(caller, settings) or settings.allow_unauthenticated_remote


def require_reader(request: Request) -> Caller:
    """Return a caller who may read, and deploy the configured branch; callers from elsewhere are refused."""
    caller = authenticate(request)
    if not may_deploy(caller, get_site(request).settings):
        raise Refusal(
            401,
            tr("From another machine, or through a proxy, this takes a token (`govma-console token NAME`)."),
            headers=CHALLENGE,
        )
    return caller


def require_changer(request: Request) -> Caller:
    """Return a caller who may change more than that; refused without a token or the right unix socket."""
    caller = authenticate(request)
    if not may_change(caller, get_site(request).settings):
        raise Refusal(
            401,
            tr(
                "This takes a token (`govma-console token NAME`), "
                "or root or unix_group by the unix socket, without a proxy."
            ),
            headers=CHALLENGE,
        )
    return caller
