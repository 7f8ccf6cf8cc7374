"""`/api/v1`: versions, status, history, disk usage, containers, holds and runs to read; runs to start and cancel."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from govma_console import reports
from govma_console.server.auth import authenticate, get_site, may_change, require_changer, require_reader
from govma_console.server.openapi import load_document
from govma_console.server.requests import (
    DEFAULTS,
    IF_NEW,
    parse_commit,
    parse_flag,
    parse_hold_request,
    parse_run_request,
    with_options,
)
from govma_console.server.responses import AsciiJson, Refusal
from govma_console.server.stream import (
    PLAIN,
    RunStream,
    comment_silence,
    render_server_sent,
    render_text,
    require_stream,
)
from govma_core.errors import RefusedError, UsageError
from govma_core.runs.launch import cancel
from govma_core.runs.store import RunRecord
from govma_core.text.language import tr
from govma_core.versions.holds import HoldStore

_MOST_RUNS = 1000


@with_options()
async def versions(request: Request) -> Response:
    """List the versions, the latest first."""
    require_reader(request)
    return AsciiJson(await asyncio.to_thread(reports.versions, get_site(request).settings))


@with_options()
async def status(request: Request) -> Response:
    """Report what is live, what runs and waits, and the result of the last run."""
    require_reader(request)
    report = await asyncio.to_thread(reports.status, get_site(request).settings)
    return AsciiJson(report.plain())


@with_options("limit")
async def history(request: Request) -> Response:
    """Report which version was live from when to when, the latest first."""
    require_reader(request)
    most = _number(request, "limit", 50, _MOST_RUNS)
    spans = await asyncio.to_thread(reports.history, get_site(request).settings, most)
    return AsciiJson({"history": spans})


@with_options()
async def usage(request: Request) -> Response:
    """Report what versions take on the disk."""
    require_reader(request)
    return Response(await get_site(request).usage_command.output(), media_type="application/json")


@with_options()
async def services(request: Request) -> Response:
    """Report the containers; their output is for callers who may change something."""
    caller = require_reader(request)
    site = get_site(request)
    report = json.loads(await site.services_command.output())
    if not may_change(caller, site.settings):
        report["services"] = [service | {"lines": []} for service in report["services"]]
    return AsciiJson(report)


async def runs(request: Request) -> Response:
    """List the runs, or start one; one route, so that a 405 names both methods."""
    return await (start_run if request.method == "POST" else list_runs)(request)


@with_options("limit")
async def list_runs(request: Request) -> Response:
    """List the runs, the latest first."""
    require_reader(request)
    most = _number(request, "limit", 50, _MOST_RUNS)
    return AsciiJson({"runs": await asyncio.to_thread(reports.runs, get_site(request).store, most)})


@with_options()
async def show_run(request: Request) -> Response:
    """Return one run."""
    require_reader(request)
    return AsciiJson(reports.run(_run(request)))


@with_options("follow", "offset")
async def run_log(request: Request) -> ASGIApp:
    """Send a run's log as plain text, from a byte on; with `follow=1` until the run ends."""
    caller = require_reader(request)
    site = get_site(request)
    record = _run(request)
    require_stream(site, caller.peer)
    return RunStream(
        site=site,
        run_id=record.id,
        render=render_text,
        headers=PLAIN,
        skip=_number(request, "offset", 0, 1 << 62),
        to_end=parse_flag(request, "follow"),
        last=lambda end: f"run {record.id}: {end.result}, exit code {end.exit_code}\n".encode(),
    )


@with_options()
async def run_events(request: Request) -> ASGIApp:
    """Send a run's events as server-sent events until it ends, from behind the one that `Last-Event-ID` names."""
    caller = require_reader(request)
    site = get_site(request)
    record = _run(request)
    require_stream(site, caller.peer)
    last = request.headers.get("last-event-id", "0")
    return RunStream(
        site=site,
        run_id=record.id,
        render=render_server_sent,
        silence=comment_silence,
        headers={"content-type": "text/event-stream; charset=utf-8"},
        offset=int(last) if last.isascii() and last.isdigit() and len(last) < 19 else 0,
    )


@with_options()
async def start_run(request: Request) -> Response:
    """Start a run: 202 and its path; deploys wait for their turn, other operations are refused while a run goes on."""
    caller = authenticate(request)
    operation, arguments = await parse_run_request(request)
    is_plain_deploy = operation == "deploy" and arguments in (DEFAULTS, IF_NEW)
    caller = require_reader(request) if is_plain_deploy else require_changer(request)
    site = get_site(request)
    policy = site.settings.queue if operation == "deploy" else "reject"
    admission = site.admit(operation, arguments, caller, policy=policy, key=_key(request, caller.requester().by))
    site.launch(admission)
    record = admission.record
    headers = {"location": f"/api/v1/runs/{record.id}", "x-run-id": record.id}
    content = {"run": reports.run(record), "waits_for": admission.behind.id if admission.behind else None}
    return AsciiJson(content, 202, headers)


@with_options()
async def cancel_run(request: Request) -> Response:
    """Ask a run to stop, which it does at its next safe point: 202."""
    require_changer(request)
    record = _run(request)
    if record.ended:
        raise Refusal(
            409,
            tr("Run {id} has ended already ({state}); there is nothing to cancel.", id=record.id, state=record.state),
        )
    try:
        await asyncio.to_thread(cancel, get_site(request).store, record.id)
    except RefusedError as error:
        # It has ended since, or does not start at all.
        raise Refusal(409, str(error)) from None
    return AsciiJson(reports.run(record), 202)


@with_options()
async def openapi(request: Request) -> Response:
    """Return the description of this API."""
    return AsciiJson(load_document())


def _run(request: Request) -> RunRecord:
    try:
        return get_site(request).store.read(request.path_params["id"])
    except UsageError:
        raise Refusal(404, tr("There is no such run.")) from None


def _number(request: Request, name: str, default: int, most: int) -> int:
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= most):
        raise UsageError("{name} must be a whole number up to {most}.", name=name, most=most)
    return int(text)


def _key(request: Request, by: str) -> str:
    """Return the key that tells a request sent again, apart from the keys of other callers; '' without one."""
    key = request.headers.get("idempotency-key", "")
    if len(key) > 255:
        raise UsageError("The Idempotency-Key may have 255 characters at most.")
    return hashlib.sha256(f"{by}\0{key}".encode()).hexdigest() if key else ""


async def holds(request: Request) -> Response:
    """Return the holds, or hold all deploys; one route, so that a 405 names both methods."""
    return await (hold if request.method == "POST" else list_holds)(request)


@with_options()
async def list_holds(request: Request) -> Response:
    """Return the holds."""
    require_reader(request)
    return AsciiJson(HoldStore(get_site(request).settings.state_dir).read().plain())


@with_options()
async def hold(request: Request) -> Response:
    """Hold all deploys, instead of an earlier hold by hand; return the hold."""
    caller = require_changer(request)
    reason, seconds = await parse_hold_request(request)
    now = time.time()
    store = HoldStore(get_site(request).settings.state_dir)
    return AsciiJson(store.hold(reason, caller.requester().by, now, now + seconds if seconds else 0.0))


@with_options("commit")
async def release(request: Request) -> Response:
    """End all holds, or that of the commit in the query; return those that were in force."""
    require_changer(request)
    commit = parse_commit(request)
    store = HoldStore(get_site(request).settings.state_dir)
    released = store.release_commit(commit) if commit else store.release()
    return AsciiJson({"released": released})


ROUTES: list[BaseRoute] = [
    Route("/api/v1/versions", versions),
    Route("/api/v1/status", status),
    Route("/api/v1/history", history),
    Route("/api/v1/usage", usage),
    Route("/api/v1/services", services),
    Route("/api/v1/runs", runs, methods=["GET", "POST"]),
    Route("/api/v1/runs/{id}", show_run),
    Route("/api/v1/runs/{id}/log", run_log),
    Route("/api/v1/runs/{id}/events", run_events),
    Route("/api/v1/runs/{id}/cancel", cancel_run, methods=["POST"]),
    Route("/api/v1/openapi.json", openapi),
    Route("/api/v1/hold", holds, methods=["GET", "POST"]),
    Route("/api/v1/release", release, methods=["POST"]),
]
