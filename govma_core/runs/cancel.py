"""Asking a run to stop: at its next safe point, with everything cleaned up."""

from __future__ import annotations

import signal
import time

from govma_core.errors import RefusedError
from govma_core.runs.store import RunRecord, RunStore
from govma_core.text.language import tr


def cancel(store: RunStore, run_id: str, patience: float = 10.0) -> RunRecord:
    """Ask the runner to stop, and give the record as it was then; RefusedError when there is nothing to stop.

    A run that is just starting is waited for, `patience` seconds at most: its process can take a request only then.
    """
    deadline = time.monotonic() + patience
    while True:
        record = store.read(run_id)
        if record.ended:
            raise RefusedError(
                tr(
                    "Run {id} has ended already ({state}); there is nothing to cancel.",
                    id=record.id,
                    state=record.state,
                )
            )
        if record.pid:
            break
        if time.monotonic() > deadline:
            raise RefusedError(
                tr("Run {id} does not start; look at {path}.", id=record.id, path=store.path(record.id) / "runner.err")
            )
        time.sleep(0.02)
    try:
        if not record.process.signal(signal.SIGTERM):
            raise RefusedError(tr("Run {id} has just ended; there is nothing to cancel.", id=record.id))
    except PermissionError:
        raise RefusedError(tr("Run {id} belongs to another user; cancel it as root.", id=record.id)) from None
    return record
