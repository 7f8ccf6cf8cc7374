"""One run at a time: a kernel lock that dies with its holder, and a note beside it that says who that is.

Only the file's owner may open the lock: a user who can open it could hold it. All users may read the note.
"""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from govma_core.errors import BusyError
from govma_core.fs import jsonfile
from govma_core.process.proc import ProcessId
from govma_core.runs.store import RunRecord, RunStore
from govma_core.text.language import tr

if TYPE_CHECKING:
    # `list` and `status` ask who holds the lock, and report nothing.
    from govma_core.reporting import Reporter


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds the lock: the run, its operation, who asked for it, and since when (epoch seconds)."""

    run: str
    operation: str
    by: str
    since: float

    def sentence(self) -> str:
        """Say who holds the lock, and what one can do."""
        return tr(
            "{operation} {run}, started by {by}, is running. `govma-console attach` follows it, "
            "`govma-console cancel` ends it.",
            operation=self.operation,
            run=self.run,
            by=self.by,
        )


@contextmanager
def hold_lock(state_dir: Path, holder: Holder) -> Iterator[None]:
    """Hold the lock of this state directory; BusyError at once when another process does.

    The note is written where there is room for it: without one the lock still holds.
    """
    fd = _opened(state_dir / "lock")
    note = state_dir / "holder.json"
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = lock_holder(state_dir)
            raise BusyError(other.sentence() if other else tr("Another run is just starting or ending.")) from None
        process = dataclasses.asdict(ProcessId.current())
        with suppress(OSError):
            jsonfile.replace(note, dataclasses.asdict(holder) | {"process": process}, durable=False)
        try:
            yield
        finally:
            with suppress(OSError):
                note.unlink(missing_ok=True)
    finally:
        os.close(fd)


def _opened(path: Path) -> int:
    flags = os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, flags | os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
    return os.open(path, flags | os.O_RDONLY)


def lock_holder(state_dir: Path) -> Holder | None:
    """Return who holds the lock, None when it is free; a note whose process is gone counts as nothing."""
    data = jsonfile.read(state_dir / "holder.json")
    try:
        if data and ProcessId(**data.pop("process")).alive():
            return Holder(**data)
    except (KeyError, TypeError):
        pass
    return None


_POLL = 0.05
"""Seconds between two looks at the runs before this one."""


@contextmanager
def turn(store: RunStore, record: RunRecord, reporter: Reporter) -> Iterator[None]:
    """Hold the lock for a queued run, once it is free and no older queued run waits for it; RunCancelled on request."""
    holder = Holder(record.id, record.operation, record.by, record.created)
    announced = ""
    with ExitStack() as lock:
        while True:
            before = _before(store, record)
            if before is None or before.state == "running":
                # Only the attempt tells: a run may be at an end that its record does not show yet.
                with suppress(BusyError):
                    lock.enter_context(hold_lock(store.state_dir, holder))
                    break
            if before is not None and before.id != announced:
                reporter.info(
                    "Waiting for {operation} {id}, asked for by {by}.",
                    operation=before.operation,
                    id=before.id,
                    by=before.by,
                )
                announced = before.id
            with reporter.cancellation.interruptible():
                time.sleep(_POLL)
        yield


def _before(store: RunStore, record: RunRecord) -> RunRecord | None:
    """Return the run that has to end before this one can begin: the one at work, else the oldest in the queue."""
    for other in store.active():
        if other.id != record.id and (other.state == "running" or (other.queued and other.id < record.id)):
            return other
    return None
