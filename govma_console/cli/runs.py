"""Commands about runs: runs, log, attach, cancel."""

from __future__ import annotations

import argparse
import sys
from itertools import islice

from govma_console import reports
from govma_console.cli.command import MOST, argument, command
from govma_console.config_option import effective
from govma_console.formats import local_time, seconds
from govma_console.output import outlive_readers, print_json, print_table
from govma_core.errors import ExitCode, RefusedError, UsageError
from govma_core.runs.store import RunRecord, RunStore
from govma_core.text.language import tr

RUN = argument("run", nargs="?", metavar="RUN", help=tr("id of a run, or any unambiguous beginning or end of it"))


@command("runs", tr("list the runs, the latest first"), MOST)
def list_runs(options: argparse.Namespace) -> None:
    """Print the runs, the latest first."""
    if options.most < 1:
        raise UsageError("-n {most}: the number of runs must be 1 or more.", most=options.most)
    records = list(islice(_store(options).records(), options.most))
    if options.json:
        print_json([reports.run(record) for record in records])
        return
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


def _row(record: RunRecord) -> tuple[str, ...]:
    took = seconds(record.finished - record.started) if record.finished and record.started else ""
    stage = f" ({record.stage})" if record.state in ("running", "interrupted", "failed") and record.stage else ""
    message = record.message.split("\n")[0]
    state = tr(record.state) + stage
    return (record.id, record.operation, state, local_time(record.created), took, record.by, record.version, message)


@command(
    "log",
    tr("print the log of a run (without RUN: of the latest)"),
    RUN,
    argument("-f", "--follow", action="store_true", help=tr("keep following until the run ends")),
    examples=("govma-console log", "govma-console log -f"),
)
def log(options: argparse.Namespace) -> None:
    """Print a run's log on standard output; as JSON one event a line."""
    from govma_console.cli.follow import print_log

    store = _store(options)
    print_log(store, store.find(options.run), to_end=options.follow, as_json=options.json)


@command("attach", tr("follow the current run, and exit with its exit code"), RUN)
def attach(options: argparse.Namespace) -> int:
    """Follow a run from its beginning, also one that has ended; Ctrl-C leaves it to itself. Exit with its exit code."""
    from govma_console.cli.follow import follow_to_end

    outlive_readers()
    store = _store(options)
    record = follow_to_end(store, _run(store, options.run).id, interrupt_cancels=False)
    if options.json:
        print_json(reports.run(record))
    return ExitCode.FAILED if record.exit_code is None else record.exit_code


@command("cancel", tr("ask the current run to stop"), RUN)
def cancel(options: argparse.Namespace) -> None:
    """Ask a run to stop."""
    from govma_core.runs.launch import cancel as cancel_run

    store = _store(options)
    record = cancel_run(store, _run(store, options.run).id)
    if options.json:
        print_json(reports.run(record))
    else:
        print(tr("Run {id} was asked to stop.", id=record.id), file=sys.stderr)


def _store(options: argparse.Namespace) -> RunStore:
    return RunStore(effective(options).state_dir)


def _run(store: RunStore, run_id: str | None) -> RunRecord:
    """Return the named run, or the current one; RefusedError when there is none."""
    record = store.find(run_id) if run_id else store.going()
    if record is None:
        raise RefusedError("Nothing is running. `govma-console log` prints the log of the last run.")
    return record
