"""The routes of the server, and its probes for health and readiness."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from govma_console.server import api, webhooks
from govma_console.server.auth import authenticate, get_site, may_deploy
from govma_console.server.deploy import deploy
from govma_console.server.metrics import metrics
from govma_console.server.middleware import RequestGuard
from govma_console.server.responses import ERROR_HANDLERS, Refusal
from govma_console.server.state import Site
from govma_core.text.language import tr


def make_app(site: Site, names: frozenset[str]) -> RequestGuard:
    """Make the ASGI application; `names` are those that a request may be addressed to."""
    routes: list[BaseRoute] = [
        _without_head(Route("/deploy", deploy, methods=["GET", "POST"])),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", metrics),
        *webhooks.ROUTES,
        *api.ROUTES,
    ]
    app = Starlette(routes=routes, exception_handlers=ERROR_HANDLERS)
    # Only exact paths are routes.
    app.router.redirect_slashes = False
    app.state.site = site
    return RequestGuard(app, site, names)


def _without_head(route: Route) -> Route:
    """Take back that starlette answers HEAD where it answers GET."""
    if route.methods is not None:
        route.methods.discard("HEAD")
    return route


async def healthz(request: Request) -> Response:
    """Respond: the process is alive."""
    return PlainTextResponse("ok\n")


async def readyz(request: Request) -> Response:
    """Tell whether a deploy of the branch would begin now, by what was fetched last; whoever may deploy is told why."""
    site = get_site(request)
    if site.draining:
        raise Refusal(503, tr("This server is stopping."), retry=5)
    if reason := await site.refusal():
        raise Refusal(
            503, reason if may_deploy(authenticate(request), site.settings) else tr("A deploy would be refused now.")
        )
    return PlainTextResponse("ready\n")
