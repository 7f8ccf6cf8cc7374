"""Waiting for one's turn: queued runs take the lock one after the other, in the order in which they were asked for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from govma_core.errors import BusyError
from govma_core.language import tr
from govma_core.reporting import Reporter
from govma_core.runs.lock import Holder, held_lock
from govma_core.runs.record import RunRecord
from govma_core.runs.store import RunStore

_POLL = 0.05
"""Seconds between two looks at who is before us."""


@contextmanager
def turn(store: RunStore, record: RunRecord, reporter: Reporter) -> Iterator[None]:
    """Hold the lock for a queued run, once it is free and no older queued run waits for it; RunCancelled on request."""
    holder = Holder(record.id, record.operation, record.by, record.created)
    told = ""
    with ExitStack() as held:
        while True:
            before = _before(store, record)
            if before is None or before.state == "running":
                # Only the attempt tells: a run may be at an end that its record does not show yet.
                with suppress(BusyError):
                    held.enter_context(held_lock(store.state_dir, holder))
                    break
            if before is not None and before.id != told:
                reporter.info(
                    tr(
                        "Waiting for {operation} {id}, asked for by {by}.",
                        operation=before.operation,
                        id=before.id,
                        by=before.by,
                    )
                )
                told = before.id
            with reporter.cancellation.interruptible():
                time.sleep(_POLL)
        yield


def _before(store: RunStore, record: RunRecord) -> RunRecord | None:
    """Return the run that has to end before this one can begin: the one at work, else the oldest in the queue."""
    others = [other for other in store.active() if other.id != record.id]
    at_work = [other for other in others if other.state == "running"]
    queued = [other for other in others if other.queued and other.id < record.id]
    return next(iter(at_work + queued), None)
