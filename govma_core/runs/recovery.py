"""Recovery: clear all that a killed run can leave, in one order, under the lock and before a new run begins.

1. Its record is completed: the run was interrupted (`settle_records`).
2. What it said against versions is taken back or confirmed, and a missing proof is noted (`settle_version`).
3. Old runs are removed (`prune_runs`).
4. The versions directory is no other state_dir's (`claim_directories`), and is cleared: a removal half done, probes,
   staged links and copies (`clear_versions`; a prune does that itself, once it is sure to begin).

A rollback and a promotion stop at 3. Whatever needs the engine is left to the operations, as one that does not answer
may keep them waiting for a minute: the container and the copies of a rehearsal (`promotion.rehearsal.clear_leftovers`)
go once nothing else stands in the way of a deploy, a check or a promotion that tries a version, else behind the switch.
So are a deploy's checkout, and the work dir, with what builds in it.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
from contextlib import suppress

from govma_core.context import Context
from govma_core.deploy import directories
from govma_core.errors import GovmaError, PreflightError
from govma_core.fs import claims, jsonfile, safefs, trees
from govma_core.promotion import verdicts
from govma_core.runs.store import LAST, START_GRACE, RunRecord, RunStore
from govma_core.runs.totals import Totals
from govma_core.text.language import tr
from govma_core.versions.history import History, Promotion, Result
from govma_core.versions.remove import clear

_WRITING = ("deploy", "prune", "dedupe")
"""Operations that no other state_dir may come between. Prune clears versions_dir itself, after its own preflight."""


def recover(context: Context, store: RunStore) -> None:
    """Clear what killed runs left, before the operation of this context. Only under the lock.

    OSError where the records cannot be written, and whatever keeps the versions directory from being cleared.
    """
    for record in settle_records(store):
        context.reporter.warning(
            "Run {id} ({operation}) had been interrupted during {stage}.",
            id=record.id,
            operation=record.operation,
            stage=record.stage or tr("its start"),
        )
        settle_version(context, record.operation, record.id)
        with suppress(OSError):
            Totals(store.state_dir).add_run(record.operation, "interrupted")
    prune_runs(store, context.settings.keep_runs)
    if context.operation in _WRITING:
        claim_directories(context)
        if context.operation != "prune":
            clear_versions(context)


def settle_records(store: RunStore) -> list[RunRecord]:
    """Write down as interrupted what is; give those. OSError where that cannot be written.

    What killed processes had staged is removed, as is a run whose record a power cut has taken: nothing can be told of
    it. Runs that had to be kept elsewhere come back to state_dir.
    """
    interrupted = []
    for run_id in store.ids():
        record = store.stored(run_id)
        if record is None:
            _remove_husk(store, run_id)
        elif record.state == "interrupted" and not record.finished:
            # In this order: what is written last puts the directory on the disk.
            (store.path(run_id) / LAST).unlink(missing_ok=True)
            jsonfile.sweep(store.path(run_id))
            store.write(dataclasses.replace(record, finished=time.time()))
            interrupted.append(record)
    for directory in (
        store.state_dir,
        store.directory,
        *(store.state_dir / name for name in ("versions", "contents", "pins", "marks", "holds")),
    ):
        jsonfile.sweep(directory)
    _bring_back(store)
    return interrupted


def _remove_husk(store: RunStore, run_id: str) -> None:
    """Remove a run without a record, unless it is just being made."""
    with suppress(FileNotFoundError):
        if time.time() - store.path(run_id).stat().st_mtime > START_GRACE:
            _remove_run(store, run_id)


def _remove_run(store: RunStore, run_id: str) -> None:
    with safefs.opened_root(store.directory) as fd:
        trees.remove(fd, run_id)


def _bring_back(store: RunStore) -> None:
    """Move ended runs from the spare place to state_dir, now that there is room."""
    with suppress(OSError):
        for name in os.listdir(store.spare):
            record = store.stored(name)
            if record is None or not record.ended:
                continue
            # It is there already when a run was killed between the copy and the removal of the spare one.
            if not (store.directory / name).exists():
                staged = jsonfile.staged_beside(store.directory / name)
                try:
                    shutil.copytree(store.spare / name, staged, symlinks=True)
                    staged.rename(store.directory / name)
                except OSError:
                    shutil.rmtree(staged, ignore_errors=True)
                    raise
            shutil.rmtree(store.spare / name)
        store.spare.rmdir()
        store.spare.parent.rmdir()


def settle_version(context: Context, operation: str, run: str) -> None:
    """Look at what the interrupted run of an operation has said against versions, and what it has not proved."""
    try:
        live = context.versions.pointer().version
    except (GovmaError, OSError):
        # The operation that needs the versions directory says what is wrong with it.
        return
    if live is None:
        return
    if _spoke_against(context, live, run):
        if operation == "rollback":
            # It was killed before its switch.
            verdicts.take_back(context, live, run)
        else:
            context.reporter.warning(
                "{version} is live, but was found not to be good; run {run} was interrupted before it had switched "
                "back. `govma-console rollback` goes back.",
                version=live,
                run=run,
            )
    # With activation.command alone no server is asked, and no result is noted.
    has_servers = context.settings.activation_url or context.settings.activation_containers
    if has_servers and _is_unproved(context, live, run):
        verdicts.note_result(context, tr("not proved: interrupted"), run)
        context.reporter.warning(
            "{version} is live, but run {run} was interrupted before it was proved that it is served. "
            "`govma-console promote {version}` proves it.",
            version=live,
            run=run,
        )


def _spoke_against(context: Context, version: str, run: str) -> bool:
    with suppress(OSError):
        return any(verdicts.spoken_against(context, version, run))
    return False


def _is_unproved(context: Context, live: str, run: str) -> bool:
    """Tell whether the version is live by this run, and nothing was written down about what that came to."""
    with suppress(OSError):
        entries = History(context.settings.state_dir).entries()
        promotions = [entry for entry in entries if isinstance(entry, Promotion)]
        has_result = any(isinstance(entry, Result) and entry.of == run for entry in entries)
        return bool(promotions) and (promotions[-1].run, promotions[-1].version) == (run, live) and not has_result
    return False


def prune_runs(store: RunStore, keep: int) -> None:
    """Remove the oldest records beyond `keep`; runs that go on are kept."""
    for run_id in store.ids()[keep:]:
        record = store.stored(run_id)
        if record is None or record.ended:
            _remove_run(store, run_id)


def claim_directories(context: Context) -> None:
    """Claim versions_dir for our state_dir; PreflightError where another one has it, or the work dir of a deploy."""
    settings = context.settings
    findings = directories.claimed_elsewhere(settings)
    needed = ("versions_dir", "work_dir") if context.operation == "deploy" else ("versions_dir",)
    if problems := [finding.sentence() for finding in findings if finding.what in needed]:
        raise PreflightError(problems)
    # Versions must be removable on a full disk above all.
    with suppress(OSError):
        if settings.versions_dir.is_dir():
            claims.claim(settings.versions_dir, settings.state_dir, directories.VERSIONS_ROLE)


def clear_versions(context: Context) -> None:
    """Clear the versions directory of what killed runs left, and say what that was."""
    clear(context.versions, context.settings.state_dir, context.reporter)
