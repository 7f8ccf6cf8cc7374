"""Starting a run: its record is written, and a process of its own takes it from there."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from govma_core.errors import BusyError, GovmaError, RefusedError
from govma_core.runs.lock import lock_holder
from govma_core.runs.record import RunRecord, RunStore
from govma_core.runs.requester import Requester
from govma_core.settings import Settings, to_plain

_children: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True, slots=True)
class StartedRun:
    """A run that was started here: its record as it was then, and the runner as our child."""

    record: RunRecord
    process: subprocess.Popen[bytes]

    def gone(self) -> bool:
        """Tell whether the runner has ended."""
        return self.process.poll() is not None


def start(settings: Settings, operation: str, arguments: dict[str, Any], requester: Requester) -> StartedRun:
    """Start a run in a detached process, and give it at once; BusyError when another one is going."""
    store = prepared_store(settings)
    holder = lock_holder(settings.state_dir)
    if holder is not None:
        raise BusyError(holder.sentence())
    try:
        record = store.create(operation, arguments, requester.by, requester.origin, settings=to_plain(settings))
        errors = open(store.path(record.id) / "runner.err", "xb", opener=_private)  # noqa: SIM115 - closed below
    except OSError as error:
        raise GovmaError(
            f"The run cannot be written down in state_dir ({settings.state_dir}): {error.strerror}. "
            "Free some space there, and try again."
        ) from None
    with errors:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "govma_core.runs.runner", str(settings.state_dir), record.id],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
            start_new_session=True,
        )
    # A long-lived front end must not collect zombies: those that ended are waited for at the next start.
    _children[:] = [child for child in [*_children, process] if child.poll() is None]
    return StartedRun(record, process)


def prepared_store(settings: Settings) -> RunStore:
    """Give the run store, its directory made; RefusedError when this user may not write there."""
    directory: Path = settings.state_dir
    try:
        store = RunStore(directory)
        for path in (directory, store.directory):
            if not path.is_dir():
                path.mkdir(parents=True)
                path.chmod(0o755)
    except OSError as error:
        raise RefusedError(f"state_dir ({directory}) cannot be made: {error.strerror}. Run as root.") from None
    if not os.access(store.directory, os.W_OK):
        raise RefusedError(f"state_dir ({directory}) cannot be written by this user. Run as root.")
    return store


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
