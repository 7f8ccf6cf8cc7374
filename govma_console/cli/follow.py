"""Starting runs, following them on standard error, what Ctrl-C means meanwhile, and printing the log of a run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from govma_console.narration import Narrator
from govma_console.output import warn
from govma_core.errors import ExitCode, RefusedError
from govma_core.events import to_json
from govma_core.runs.launch import StartedRun, cancel, local_requester, start
from govma_core.runs.log import follow, read_events
from govma_core.runs.store import RunRecord, RunStore
from govma_core.settings import Settings
from govma_core.text.language import tr


def start_run(
    settings: Settings, operation: str, arguments: dict[str, Any], front_end: str, *, queued: bool = False
) -> StartedRun:
    """Start a run of the person at this terminal; BusyError while another one goes on."""
    return start(settings, operation, arguments, local_requester(front_end), queued=queued)


def follow_started(settings: Settings, started_run: StartedRun) -> tuple[RunRecord, int]:
    """Narrate a run of this process until it ends; return its final record and exit code. Ctrl-C cancels it."""
    store = RunStore(settings.state_dir)
    record = follow_to_end(store, started_run.record.id, interrupt_cancels=True, is_gone=started_run.gone)
    if record.ended and record.state != "interrupted" and record.exit_code is not None:
        return record, record.exit_code
    exit_code = started_run.process.wait()
    if exit_code < 0:
        # A signal killed the runner.
        return record, ExitCode.FAILED
    warn(
        tr(
            "The run could not write down how it ended. Is there room in state_dir ({state_dir})?",
            state_dir=settings.state_dir,
        )
    )
    return record, exit_code


def follow_to_end(
    store: RunStore, run_id: str, *, interrupt_cancels: bool, is_gone: Callable[[], bool] = lambda: False
) -> RunRecord:
    """Narrate a run until it ends, and return its final record.

    The first Ctrl-C asks the run to stop when `interrupt_cancels`, else it stops following, as a second one does; the
    program then exits with 130. `is_gone` tells whether the runner is no more.
    """
    narrator = Narrator(sys.stderr)
    offset = interrupts = 0
    is_cancelled = False
    while True:
        try:
            if interrupt_cancels and interrupts and not is_cancelled:
                is_cancelled = True
                _cancel(store, run_id, narrator)
            for event, end in follow(store, run_id, offset, idle=narrator.idle, is_gone=is_gone):
                narrator.tell(event)
                offset = end
            return store.read(run_id)
        except KeyboardInterrupt:
            interrupts += 1
            if interrupts == 1 and interrupt_cancels:
                continue
            narrator.say(
                tr("The run was asked to stop. `govma-console attach {run}` follows it.", run=run_id)
                if is_cancelled
                else tr("The run continues. `govma-console attach {run}` follows it.", run=run_id)
            )
            raise SystemExit(ExitCode.CANCELLED) from None


def _cancel(store: RunStore, run_id: str, narrator: Narrator) -> None:
    narrator.say(tr("Cancelling. Press Ctrl-C again to stop waiting."))
    try:
        cancel(store, run_id)
    except RefusedError as error:
        narrator.say(str(error))


def print_log(store: RunStore, record: RunRecord, *, to_end: bool, as_json: bool) -> None:
    """Print a run's log on standard output, as JSON one event a line; with `to_end` until the run ends."""
    events = follow(store, record.id) if to_end else read_events(store.path(record.id) / "events.jsonl")
    narrator = Narrator(sys.stdout)
    for event, _ in events:
        if as_json:
            print(to_json(event), flush=to_end)
        else:
            narrator.tell(event)
    if record.state == "interrupted" and not to_end:
        narrator.say(record.message)
