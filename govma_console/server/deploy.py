"""`/deploy`, the path of the server that this one takes over from: starts a deploy and streams its log."""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import ASGIApp

from govma_console.output import hinted
from govma_console.server.auth import get_site, require_reader
from govma_console.server.requests import DEFAULTS, IF_NEW, parse_flag, with_options
from govma_console.server.responses import LOCKED, Refusal, refusal_of
from govma_console.server.state import Site
from govma_console.server.stream import PLAIN, RunStream, render_text, require_stream, unless_gone
from govma_core.errors import GovmaError, UsageError
from govma_core.events import RunFinished
from govma_core.runs.queue import Admission
from govma_core.text.language import tr


@with_options("wait", "on_fail", "if_new")
async def deploy(request: Request) -> ASGIApp:
    """Start a deploy, or share one that waits, and stream its log.

    With `if_new=1` nothing is made when the live version was made from the same. With `wait=1` the response begins when
    the run has ended: 500 when it failed, 423 when it was held. With `on_fail=abort` the stream of a failed run is cut.
    """
    site = get_site(request)
    caller = require_reader(request)
    waits, aborts_on_failure = parse_flag(request, "wait"), parse_flag(request, "on_fail", "abort")
    # Not used, but a body that is refused must be so before there is a run.
    await request.body()
    require_stream(site, caller.peer)
    arguments = IF_NEW if parse_flag(request, "if_new") else DEFAULTS
    try:
        admission = site.admit("deploy", arguments, caller, policy=site.settings.queue)
    except GovmaError as error:
        refusal = refusal_of(error)
        raise Refusal(refusal.status, f"deploy failed: {error}", headers=refusal.headers) from None
    site.launch(admission)
    run_id = admission.record.id
    status = 200
    if waits:
        with site.streams.occupy(caller.peer):
            end = await unless_gone(request.receive, _wait_for_end(site, run_id))
        status = 200 if end is not None and end.is_success else _failure_status(site, run_id)
    return RunStream(
        site=site,
        run_id=run_id,
        render=render_text,
        status=status,
        headers=PLAIN | {"x-run-id": run_id},
        first=_first_line(admission).encode("utf-8", "replace"),
        last=lambda end: _last_lines(run_id, end).encode("utf-8", "replace"),
        is_complete=lambda end: end.is_success or not aborts_on_failure,
    )


async def _wait_for_end(site: Site, run_id: str) -> RunFinished | None:
    """Wait until the run has ended; None when its record was removed."""
    end = None
    async for piece in site.feed.follow(run_id):
        end = piece.finished
    return end


def _failure_status(site: Site, run_id: str) -> int:
    """Return the status of a failed deploy: only the run learned its commit, and so whether that is held."""
    try:
        return LOCKED if "held_until" in site.store.read(run_id).details else 500
    except UsageError:
        return 500


def _first_line(admission: Admission) -> str:
    record, behind = admission.record, admission.behind
    line = f"run {record.id}: deploy"
    if not admission.fresh:
        line += tr(", shared with {by}", by=record.by)
    if behind is not None:
        line += tr(
            "; waits for {operation} {id}, asked for by {by}", operation=behind.operation, id=behind.id, by=behind.by
        )
    return line + "\n"


def _last_lines(run_id: str, end: RunFinished) -> str:
    # A deploy that went well has printed the banner of deploy.sh as its last line. Scripts look for these words: they
    # are the same in every language.
    failure = "" if end.is_success else f"deploy failed: {' '.join(hinted(end.message).split()) or end.result}\n"
    return f"{failure}run {run_id}: {end.result}, exit code {end.exit_code}\n"
