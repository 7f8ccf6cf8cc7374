"""`/api/v1/hold` and `/api/v1/release`: what is held, freezing deploys, and letting them go on."""

from __future__ import annotations

import dataclasses
import time

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from govma_console.server.access import changer, reader, site_of
from govma_console.server.answers import Json
from govma_console.server.bodies import commit_wanted, hold_wanted
from govma_core.versions.holds import HoldStore


async def holds(request: Request) -> Response:
    """Return what is held, or hold all deploys: of one address, so that a refusal names both methods."""
    if request.method == "POST":
        return await hold(request)
    reader(request)
    return Json(HoldStore(site_of(request).settings.state_dir).read().plain())


async def hold(request: Request) -> Response:
    """Hold all deploys, instead of an earlier hold by hand; give the hold."""
    caller = changer(request)
    reason, seconds = await hold_wanted(request)
    now = time.time()
    store = HoldStore(site_of(request).settings.state_dir)
    made = store.hold(reason, caller.requester().by, now, now + seconds if seconds else 0.0)
    return Json(dataclasses.asdict(made))


async def release(request: Request) -> Response:
    """End all holds, or that of the commit in the query; give those that were in force."""
    changer(request)
    commit = commit_wanted(request)
    store = HoldStore(site_of(request).settings.state_dir)
    ended = store.release_commit(commit) if commit else store.release()
    return Json({"released": [dataclasses.asdict(found) for found in ended]})


ROUTES: list[BaseRoute] = [
    Route("/api/v1/hold", holds, methods=["GET", "POST"]),
    Route("/api/v1/release", release, methods=["POST"]),
]
