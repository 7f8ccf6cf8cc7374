"""Start a run and follow it on standard error, and what Ctrl-C means meanwhile."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from govma_console import reports
from govma_console.config_option import effective
from govma_console.narration import Narrator
from govma_console.output import print_json, say, warn
from govma_core.errors import ExitCode, RefusedError, UsageError
from govma_core.runs.launch import StartedRun, cancel, local_requester, start
from govma_core.runs.log import follow
from govma_core.runs.store import RunRecord, RunStore
from govma_core.settings import Settings
from govma_core.text.language import tr


def follow_or_detach(
    options: argparse.Namespace, operation: str, arguments: dict[str, Any], show: Callable[[RunRecord], None]
) -> int:
    """Start a run, follow it to its end, show its record, and return its exit code. With --detach print its id."""
    settings = effective(options)
    # What is left behind must not lose its turn to the next command of a script.
    started_run = start_run(settings, operation, arguments, "cli", queued=options.detach)
    if options.detach:
        run_id = started_run.record.id
        print_json({"run": run_id}) if options.json else print(run_id)
        return ExitCode.OK
    record, exit_code = follow_started(settings, started_run)
    print_json(reports.run(record)) if options.json else show(record)
    return exit_code


def start_run(
    settings: Settings, operation: str, arguments: dict[str, Any], front_end: str, *, queued: bool = False
) -> StartedRun:
    """Start a run of the person at this terminal; BusyError while another one goes on."""
    return start(settings, operation, arguments, local_requester(front_end), queued=queued)


def is_dry_run(options: argparse.Namespace) -> bool:
    """Tell whether the command starts no run, but prints what one would do; UsageError together with --detach."""
    if options.dry_run and options.detach:
        raise UsageError("--dry-run starts no run that could be left behind: leave --detach out.")
    return bool(options.dry_run)


def show_message(record: RunRecord) -> None:
    """Print the message of a run that went well; the error of another was narrated while it was followed."""
    if record.exit_code == ExitCode.OK:
        say(record.message)


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
