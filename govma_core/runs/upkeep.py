"""Order among the records of runs, made under the lock before a new run begins."""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
from contextlib import suppress

from govma_core import jsonfile, safetree
from govma_core.runs.record import RunRecord
from govma_core.runs.store import LAST, START_GRACE, RunStore
from govma_core.safefs import opened_root


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
        safetree.remove(fd, run_id)


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
