"""Commands about runs: list, log, attach, cancel."""

from __future__ import annotations

import argparse
import sys
from itertools import islice

from govma_console import reports
from govma_console.cli.follow import follow_to_end
from govma_console.config_option import effective
from govma_console.formats import local_time, seconds
from govma_console.narration import Narrator
from govma_console.output import print_json, print_table
from govma_core.errors import ExitCode, RefusedError, UsageError
from govma_core.events import to_json
from govma_core.runs.cancel import cancel as cancel_run
from govma_core.runs.log import follow, read_events
from govma_core.runs.store import RunRecord, RunStore
from govma_core.text.language import tr


def list_runs(given: argparse.Namespace) -> int:
    """Print the runs, the latest first."""
    if given.most < 1:
        raise UsageError(tr("-n {most}: the number of runs must be 1 or more.", most=given.most))
    records = list(islice(_store(given).records(), given.most))
    if given.json:
        print_json([reports.run(record) for record in records])
        return ExitCode.OK
    header = (
        tr("RUN"),
        tr("OPERATION"),
        tr("STATE"),
        tr("STARTED"),
        tr("TOOK"),
        tr("BY"),
        tr("VERSION"),
        tr("MESSAGE"),
    )
    print_table(header, [_row(record) for record in records], cut=(7, 6), drop=(6, 5, 4))
    return ExitCode.OK


def log(given: argparse.Namespace) -> int:
    """Print a run's log on standard output; as JSON one event a line."""
    store = _store(given)
    record = store.find(given.run)
    path = store.path(record.id) / "events.jsonl"
    events = follow(store, record.id) if given.follow else read_events(path)
    narrator = Narrator(sys.stdout)
    for event, _ in events:
        if given.json:
            print(to_json(event), flush=given.follow)
        else:
            narrator.tell(event)
    if record.state == "interrupted" and not given.follow:
        narrator.say(record.message)
    return ExitCode.OK


def attach(given: argparse.Namespace) -> int:
    """Follow a run that goes on, from its beginning; Ctrl-C leaves it to itself."""
    store = _store(given)
    record = follow_to_end(store, _active(store, given.run).id, interrupt_cancels=False)
    if given.json:
        print_json(reports.run(record))
    return ExitCode.FAILED if record.exit_code is None else record.exit_code


def cancel(given: argparse.Namespace) -> int:
    """Ask a run to stop."""
    store = _store(given)
    record = cancel_run(store, _active(store, given.run).id)
    if given.json:
        print_json(reports.run(record))
    else:
        print(tr("Run {id} was asked to stop.", id=record.id), file=sys.stderr)
    return ExitCode.OK


def _store(given: argparse.Namespace) -> RunStore:
    return RunStore(effective(given).state_dir)


def _active(store: RunStore, wanted: str | None) -> RunRecord:
    record = store.find(wanted) if wanted else store.going()
    if record is None or record.ended:
        raise RefusedError(
            tr(
                "Run {id} has ended ({state}). `govma-console log {id}` prints its log.",
                id=record.id,
                state=tr(record.state),
            )
            if record
            else tr("Nothing is running. `govma-console log` prints the log of the last run.")
        )
    return record


def _row(record: RunRecord) -> tuple[str, ...]:
    took = seconds(record.finished - record.started) if record.finished and record.started else ""
    stage = f" ({record.stage})" if record.state in ("running", "interrupted", "failed") and record.stage else ""
    message = record.message.split("\n")[0]
    state = tr(record.state) + stage
    return (record.id, record.operation, state, local_time(record.created), took, record.by, record.version, message)
