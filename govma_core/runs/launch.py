"""Starting a run: its record is written, and a process of its own takes it from there; and asking one to stop."""

from __future__ import annotations

import dataclasses
import grp
import os
import pwd
import signal
import stat
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from govma_core.errors import BusyError, ConfigurationError, GovmaError, RefusedError
from govma_core.fs.permissions import cannot_write
from govma_core.runs.lock import Holder, lock_holder
from govma_core.runs.store import ERRORS, RunRecord, RunStore
from govma_core.settings import Settings, to_plain
from govma_core.text.clean import clean_line
from govma_core.text.language import tr

if TYPE_CHECKING:
    import subprocess


@dataclass(frozen=True, slots=True)
class Requester:
    """`by` is a user's name, `origin` the front end with what is known of the line (`cli, ssh from 10.0.0.7`)."""

    by: str
    origin: str


def local_requester(front_end: str) -> Requester:
    """Return the person at this terminal: behind sudo the one who called it."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = f"uid {os.getuid()}"
    caller = os.environ.get("SUDO_USER") if os.getuid() == 0 else None
    by = tr("{caller} (sudo)", caller=caller) if caller and caller != name else name
    line = os.environ.get("SSH_CONNECTION", "").split()
    return Requester(by, tr("{front_end}, ssh from {line}", front_end=front_end, line=line[0]) if line else front_end)


SAVING = ("rollback", "promote")
"""Operations that save the site: a state_dir without room, or that cannot be written, does not prevent them."""

_RIGHT_AFTER = 2.0
"""Seconds within which a script's next command comes, after one that left a run behind."""

_RUNNER = "govma_core.runs.runner"
_PATIENCE = 10
"""Seconds within which Python starts."""

_children: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True, slots=True)
class StartedRun:
    """A run that was started here: its record as it was then, and the runner as our child."""

    record: RunRecord
    process: subprocess.Popen[bytes]

    def gone(self) -> bool:
        """Tell whether the runner has ended."""
        return self.process.poll() is not None


def start(
    settings: Settings, operation: str, arguments: dict[str, Any], requester: Requester, *, queued: bool = False
) -> StartedRun:
    """Start a run in a detached process, and give it at once; BusyError when another one is going.

    A `queued` one has its turn whatever comes between. What the same person starts right after it, as a script does,
    waits for it and is not refused.
    """
    try:
        store = prepare_store(settings)
    except (RefusedError, ConfigurationError):
        if operation not in SAVING or os.geteuid() != 0:
            raise
        store = RunStore(settings.state_dir)
    holder = lock_holder(store.state_dir)
    if _comes_next(store, holder, requester):
        queued = True
    elif holder is not None:
        raise BusyError(holder.sentence())
    return launch(store, write_down(store, settings, operation, arguments, requester, queued=queued))


def _comes_next(store: RunStore, holder: Holder | None, requester: Requester) -> bool:
    """Tell whether what is started now is to wait for the run before it, and is not refused for its sake.

    That is one whose end is written down already: who saw it may ask for the next, though the lock is not free yet. And
    it is a queued one that the same person has asked for just before.
    """
    latest = before = None
    with suppress(OSError):
        before = store.stored(holder.run) if holder is not None else None
        latest = store.latest()
    if before is not None and before.ended:
        return True
    if latest is None or latest.ended or not latest.queued:
        return False
    if (latest.by, latest.origin) != (requester.by, requester.origin):
        return False
    return holder is None or time.time() - latest.created < _RIGHT_AFTER


def write_down(
    store: RunStore,
    settings: Settings,
    operation: str,
    arguments: dict[str, Any],
    requester: Requester,
    **more: Any,  # noqa: ANN401 - fields of the record
) -> RunRecord:
    """Make the record of a run that launch() is to execute; GovmaError when there is no room for it.

    That of an operation that saves the site is kept in another place then.
    """
    more["settings"] = to_plain(settings)
    try:
        return store.create(operation, arguments, requester.by, requester.origin, **more)
    except OSError as error:
        if operation in SAVING and os.geteuid() == 0:
            with suppress(OSError):
                return store.create(operation, arguments, requester.by, requester.origin, spare=True, **more)
        raise _not_written(store, error) from None


def launch(store: RunStore, record: RunRecord) -> StartedRun:
    """Execute a run in a process of its own; GovmaError, and a record that says so, when that cannot be started."""
    # Every command imports this module, few start a run.
    import subprocess

    try:
        errors = open(store.path(record.id) / ERRORS, "xb", opener=_private)  # noqa: SIM115 - closed below
    except OSError as error:
        refusal = _not_written(store, error)
        _end(store, record, str(refusal))
        raise refusal from None
    try:
        with errors:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", _RUNNER, str(store.state_dir), record.id],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                start_new_session=True,
            )
    except FileNotFoundError as error:
        message = _broken(error.strerror or str(error))
        _end(store, record, message)
        raise GovmaError(message) from None
    except OSError as error:
        message = tr(
            "The run's process cannot be started: {strerror}. Try again when the machine has room for it.",
            strerror=error.strerror,
        )
        _end(store, record, message)
        raise GovmaError(message) from None
    store.note_process(record.id, process.pid)
    # A long-lived front end must not collect zombies: those that ended are waited for at the next start.
    _children[:] = [child for child in [*_children, process] if child.poll() is None]
    return StartedRun(record, process)


def obstacle() -> str:
    """Say why no process of a run would start now, as after an upgrade of Python; '' when one would."""
    try:
        _try_start(tuple((info.st_ino, info.st_mtime_ns) for info in map(os.stat, (sys.executable, __file__))))
    except TimeoutError:
        # The machine has much to do; that says nothing about Python.
        return ""
    except GovmaError as error:
        return str(error)
    except OSError as error:
        return _broken(error.strerror or str(error))
    return ""


@lru_cache(maxsize=1)
def _try_start(files: tuple[tuple[int, int], ...]) -> None:
    """Import what a run does; GovmaError with what Python says, TimeoutError when it says nothing.

    What went well is not tried again for these files.
    """
    import subprocess

    command = [sys.executable, "-P", "-c", f"import {_RUNNER}"]
    try:
        result = subprocess.run(command, cwd="/", capture_output=True, timeout=_PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    if result.returncode:
        *_, reason = ["?", *result.stderr.decode("utf-8", "replace").splitlines()]
        raise GovmaError(_broken(clean_line(reason)))


def _broken(reason: str) -> str:
    return tr(
        "No run can start: {python}, which this program runs with, does not work any more ({reason}). Install "
        "govma-console again, as for an upgrade.",
        python=sys.executable,
        reason=reason,
    )


def _end(store: RunStore, record: RunRecord, message: str) -> None:
    """Write down that the run does not start; where there is no room for that, nothing is left of it."""
    try:
        store.write(dataclasses.replace(record, state="failed", exit_code=1, message=message, finished=time.time()))
    except OSError:
        store.discard(record.id)


def _not_written(store: RunStore, error: OSError) -> GovmaError:
    return GovmaError(
        "The run cannot be written down in state_dir ({state_dir}): {strerror}. Free some space there, and try again.",
        state_dir=store.state_dir,
        strerror=error.strerror,
    )


def prepare_store(settings: Settings) -> RunStore:
    """Return the run store, its directory made.

    RefusedError when this user may not write there, ConfigurationError when it is no place for one.
    """
    directory: Path = settings.state_dir
    try:
        store = RunStore(directory)
        if directory.is_dir() and (refusal := cannot_write("state_dir", directory)):
            raise RefusedError(refusal)
        # Not what is above it: a name that was mistyped must not become a second place with locks and pins of its own.
        for path in (directory, store.directory):
            if not path.is_dir():
                path.mkdir()
                path.chmod(0o755)
        close_to_others(settings)
    except PermissionError as error:
        raise RefusedError(
            "state_dir ({directory}) cannot be made: {strerror}. {advice}",
            directory=directory,
            strerror=error.strerror,
            advice=tr("Run as root."),
        ) from None
    except OSError as error:
        raise ConfigurationError(
            "state_dir ({directory}) cannot be made: {strerror}. {advice}",
            directory=directory,
            strerror=error.strerror,
            advice=tr("Make the directory above it, or correct the setting."),
        ) from None
    if refusal := cannot_write("state_dir", store.directory):
        raise RefusedError(refusal)
    return store


def close_to_others(settings: Settings) -> None:
    """Have only its owner, and log_group, enter state_dir; ConfigurationError when there is no such group."""
    state = settings.state_dir
    info = state.stat()
    if info.st_uid != os.geteuid():
        return
    try:
        group = grp.getgrnam(settings.log_group).gr_gid if settings.log_group else info.st_gid
    except KeyError:
        raise ConfigurationError("log_group: there is no group {log_group!r}.", log_group=settings.log_group) from None
    # The group of what is made in runs/ is that of the directory.
    modes = (0o750, 0o2750) if settings.log_group else (0o700, 0o755)
    for path, mode in zip((state, state / "runs"), modes, strict=True):
        now = path.stat()
        if now.st_gid != group:
            os.chown(path, -1, group)
        if stat.S_IMODE(now.st_mode) != mode or now.st_gid != group:
            path.chmod(mode)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def cancel(store: RunStore, run_id: str, patience: float = 10.0) -> RunRecord:
    """Ask the runner to stop, and give the record as it was then; RefusedError when there is nothing to stop.

    A run that is just starting is waited for, `patience` seconds at most: its process can take a request only then.
    """
    deadline = time.monotonic() + patience
    while True:
        record = store.read(run_id)
        if record.ended:
            raise RefusedError(
                "Run {id} has ended already ({state}); there is nothing to cancel.",
                id=record.id,
                state=record.state,
            )
        if record.pid:
            break
        if time.monotonic() > deadline:
            raise RefusedError(
                "Run {id} does not start; look at {path}.", id=record.id, path=store.path(record.id) / ERRORS
            )
        time.sleep(0.02)
    try:
        if not record.process.signal(signal.SIGTERM):
            raise RefusedError("Run {id} has just ended; there is nothing to cancel.", id=record.id)
    except PermissionError:
        raise RefusedError("Run {id} belongs to another user; cancel it as root.", id=record.id) from None
    return record
