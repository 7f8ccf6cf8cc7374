"""Order among the records of runs, made under the lock before a new run begins."""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from govma_core.context import Context
from govma_core.errors import GovmaError
from govma_core.fs import jsonfile, safefs, trees
from govma_core.fs.safefs import opened_root
from govma_core.promotion import proof, verdicts
from govma_core.promotion.holds import take_back
from govma_core.runs.store import LAST, START_GRACE, RunRecord, RunStore
from govma_core.text.language import tr
from govma_core.versions.history import History, Promotion, Result
from govma_core.versions.holds import HoldStore
from govma_core.versions.remove import remover, some, sweep
from govma_core.versions.store import REMOVED_PREFIX


def settle(store: RunStore) -> list[RunRecord]:
    """Write down as interrupted what is; give those. OSError where that cannot be written.

    What killed processes had staged is removed, as is a run whose record a power cut has taken: nothing can be told of
    it. Runs that had to be kept elsewhere come back to state_dir.
    """
    gone = []
    for run_id in store.ids():
        record = store.stored(run_id)
        if record is None:
            _remove_husk(store, run_id)
        elif record.state == "interrupted" and not record.finished:
            # In this order: what is written last puts the directory on the disk.
            (store.path(run_id) / LAST).unlink(missing_ok=True)
            jsonfile.sweep(store.path(run_id))
            store.write(dataclasses.replace(record, finished=time.time()))
            gone.append(record)
    for directory in (
        store.state_dir,
        store.directory,
        *(store.state_dir / name for name in ("versions", "contents", "usage", "pins", "marks", "holds")),
    ):
        jsonfile.sweep(directory)
    _bring_back(store)
    return gone


def prune(store: RunStore, keep: int) -> None:
    """Remove the oldest records beyond `keep`; runs that go on are kept."""
    for run_id in store.ids()[keep:]:
        record = store.stored(run_id)
        if record is None or record.ended:
            _remove(store, run_id)


def _remove_husk(store: RunStore, run_id: str) -> None:
    with suppress(FileNotFoundError):
        # One that is just being made has no record yet.
        if time.time() - store.path(run_id).stat().st_mtime > START_GRACE:
            _remove(store, run_id)


def _remove(store: RunStore, run_id: str) -> None:
    with opened_root(store.directory) as fd:
        trees.remove(fd, run_id)


def _bring_back(store: RunStore) -> None:
    """Move ended runs from the spare place to state_dir, now that there is room."""
    with suppress(OSError):
        for name in os.listdir(store.spare):
            record = store.stored(name)
            if record is None or not record.ended:
                continue
            # There already when it was brought back by one who was killed before it removed the other.
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


def settle_versions(context: Context, operation: str, run: str) -> None:
    """Look at what the interrupted run of an operation has said against versions, and what it has not proved."""
    try:
        live = context.versions.pointer().version
    except (GovmaError, OSError):
        # Told by the operation that needs it.
        return
    if live is None:
        return
    if _spoke_against(context, live, run):
        if operation == "rollback":
            # It was killed before its switch.
            take_back(context, live, run)
        else:
            context.reporter.warning(
                tr(
                    "{version} is live, but was found not to be good; run {run} was interrupted before it had switched "
                    "back. `govma-console rollback` goes back.",
                    version=live,
                    run=run,
                )
            )
    # With a command alone nobody is asked, and no result is noted.
    asked = context.settings.activation_url or context.settings.activation_containers
    if asked and _left_unproved(context, live, run):
        verdicts.note_result(context, tr("not proved: interrupted"), run)
        context.reporter.warning(
            tr(
                "{version} is live, but run {run} was interrupted before it was proved that it is served. "
                "`govma-console promote {version}` proves it.",
                version=live,
                run=run,
            )
        )


def _spoke_against(context: Context, version: str, run: str) -> bool:
    mark = verdicts.marks(context).get(version)
    if mark is not None and mark.run == run:
        return True
    with suppress(OSError):
        # The hold is written first.
        return any(
            hold.run == run and hold.version == version for hold in HoldStore(context.settings.state_dir).read().commits
        )
    return False


def _left_unproved(context: Context, live: str, run: str) -> bool:
    """Tell whether the version is live by this run, and nothing was written down about what that came to."""
    with suppress(OSError):
        entries = History(context.settings.state_dir).entries()
        promotions = [entry for entry in entries if isinstance(entry, Promotion)]
        noted = any(isinstance(entry, Result) and entry.of == run for entry in entries)
        return bool(promotions) and (promotions[-1].run, promotions[-1].version) == (run, live) and not noted
    return False


def clear(context: Context) -> None:
    """Clear the versions directory of what killed runs left, and say what that was. Only under the lock.

    What resists (an immutable file, a mount) is named in a warning, and tried again by the next run.
    """
    if done := remover(context.versions, context.settings.state_dir).take_up():
        context.reporter.warning(done)
    pointer = context.versions.pointer()
    # Where the link leads to nothing, what it led to may be what was set aside.
    spare = [REMOVED_PREFIX] if pointer.version is None and pointer.target is not None else []
    with safefs.opened_root(context.settings.versions_dir) as fd:
        proof.sweep(fd, [version.name for version in context.versions.versions()])
        for found in sweep(fd, spare=spare):
            warn(context, context.settings.versions_dir / found.name, found.what, found.left if found.ours else None)
            if found.ours and not found.left:
                context.reporter.info(tr("Removed {name}, {what}.", name=found.name, what=found.what))


def warn(context: Context, path: Path, what: str, left: Sequence[str] | None) -> None:
    """Warn of a leftover that is still there: `left` is what resisted, None where it may be none of ours."""
    if left is None:
        context.reporter.warning(
            tr(
                "{path} is named like a leftover of a killed run, but it is not certain that it is one; "
                "it is left alone. Look at what it holds, then rename or remove it.",
                path=path,
            )
        )
    elif left:
        context.reporter.warning(
            tr("{name} ({what}) cannot be removed whole: {left}.", name=path.name, what=what, left=some(left))
        )
