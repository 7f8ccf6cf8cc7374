"""One run at a time: a kernel lock that dies with its holder, and a note beside it that says who that is.

Only the file's owner may open the lock: whoever can open it could hold it. Everybody may read the note.
"""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from govma_core import jsonfile
from govma_core.errors import BusyError
from govma_core.language import tr
from govma_core.process import ProcessId


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
def held_lock(state_dir: Path, holder: Holder) -> Iterator[None]:
    """Hold the lock of this state directory; BusyError at once when somebody else does.

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
