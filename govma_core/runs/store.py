"""The runs on the disk: `<state_dir>/runs/<id>/run.json`, replaced atomically at each change of state."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from govma_core.errors import RefusedError, UsageError
from govma_core.fs import jsonfile
from govma_core.process.proc import ProcessId
from govma_core.text.clean import clean_line
from govma_core.text.language import tr

State = Literal[
    "starting", "waiting", "running", "ok", "unchanged", "failed", "refused", "busy", "cancelled", "interrupted"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A run as its record tells it. Times are seconds since the epoch, 0 while not there yet.

    `queued`: it waits for its turn where another run would be refused as long as one is going. `key`: what a caller
    named this request by, so that asking again gives the same run.
    """

    id: str
    operation: str
    arguments: dict[str, Any]
    by: str
    origin: str
    created: float
    queued: bool = False
    key: str = ""
    state: State = "starting"
    stage: str = ""
    pid: int = 0
    pid_started: int = 0
    boot: str = ""
    started: float = 0.0
    finished: float = 0.0
    exit_code: int | None = None
    message: str = ""
    version: str = ""
    version_before: str = ""
    commit: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def process(self) -> ProcessId:
        """Return the runner's process."""
        return ProcessId(self.pid, self.pid_started, self.boot)

    @property
    def ended(self) -> bool:
        """True when nothing more will come."""
        return self.state not in ("starting", "waiting", "running")


_NAMES = frozenset(f.name for f in dataclasses.fields(RunRecord))
_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{4}")
START_GRACE = 30.0
"""Seconds a runner has from its record's creation to write its own process id into it."""

_SPARE = Path("/run/govma-console")
"""Where only root writes, in memory: for the runs that must be possible when state_dir has no room."""

_PROCESS = "process"
"""A link whose text tells the process that was started for a run."""

LAST = ".last"
"""A file that reserves the room for a run's final record, made at its start."""
_LAST_SIZE = 1 << 14

ERRORS = "runner.err"
"""A file with what a run's process says that should never be said."""


class RunStore:
    """The runs below `<state_dir>/runs/`."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.directory = state_dir / "runs"
        self.spare = _SPARE / str(state_dir).strip("/").replace("-", r"\x2d").replace("/", "-")
        self._ended: set[str] = set()

    def create(
        self,
        operation: str,
        arguments: dict[str, Any],
        by: str,
        origin: str,
        *,
        spare: bool = False,
        **more: Any,  # noqa: ANN401
    ) -> RunRecord:
        """Make the directory and record of a new run, and give it; with `spare` out of state_dir, until there is room.

        OSError when there is no room, and then nothing is left of it.
        """
        directory = self.spare if spare else self.directory
        if spare:
            _SPARE.mkdir(mode=0o700, exist_ok=True)
        directory.mkdir(exist_ok=True)
        now = time.time()
        while True:
            # UTC, and the fraction of the second last: the order of ids is that of runs, also when summer time ends.
            stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%d-%H%M%S")
            run_id = f"{stamp}-{int(now % 1 * 0x10000):04x}"
            try:
                (directory / run_id).mkdir()
                break
            except FileExistsError:
                now = time.time()
        record = RunRecord(
            id=run_id, operation=operation, arguments=arguments, by=by, origin=origin, created=now, **more
        )
        try:
            # Whatever the caller's umask. Who may enter state_dir reads who runs what; the log is for its group, which
            # comes with the bit for it from the directory above.
            (directory / run_id).chmod(stat.S_IMODE((directory / run_id).stat().st_mode) | 0o755)
            self.write(record)
            self._reserve(run_id)
        except OSError:
            self.discard(run_id)
            raise
        return record

    def discard(self, run_id: str) -> None:
        """Remove a run that did not come to be, as far as that goes."""
        shutil.rmtree(self.path(run_id), ignore_errors=True)

    def write(self, record: RunRecord) -> None:
        """Replace the record on disk."""
        jsonfile.replace(
            self.path(record.id) / "run.json", dataclasses.asdict(record), mode=0o644, durable=record.ended
        )

    def _reserve(self, run_id: str) -> None:
        """Make the files that a run must have, and reserve the room that its end will need to be written down."""
        for name, mode, size in (("events.jsonl", 0o640, 0), (LAST, 0o644, _LAST_SIZE)):
            fd = os.open(self.path(run_id) / name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, mode)
            try:
                os.fchmod(fd, mode)
                if size:
                    os.posix_fallocate(fd, 0, size)
            finally:
                os.close(fd)

    def write_last(self, record: RunRecord) -> None:
        """Replace the record by the final one, in the room that was reserved for it; OSError when there is none."""
        last = self.path(record.id) / LAST
        data = jsonfile.encoded(dataclasses.asdict(record))
        if len(data) > _LAST_SIZE:
            data = jsonfile.encoded(dataclasses.asdict(dataclasses.replace(record, details={})))
            with suppress(OSError):
                self.write(record)
                last.unlink(missing_ok=True)
                return
        try:
            with last.open("r+b") as file:
                file.write(data)
                file.truncate()
                file.flush()
                os.fsync(file.fileno())
        except FileNotFoundError:
            self.write(record)
            return
        last.replace(last.with_name("run.json"))
        jsonfile.sync_directory(last.parent)

    def note_process(self, run_id: str, pid: int) -> None:
        """Note which process was started for a run, for as long as that has not said so itself."""
        process = ProcessId.of(pid)
        with suppress(OSError):
            # A link's text, for it is there at once or not at all, and takes no room.
            os.symlink(f"{process.pid} {process.started} {process.boot}", self.path(run_id) / _PROCESS)

    def read(self, run_id: str) -> RunRecord:
        """Return a run by its id; a runner gone without an end makes it `interrupted`. UsageError when absent."""
        record = self.stored(run_id) if _ID.fullmatch(run_id) else None
        if record is None:
            raise UsageError("There is no run {run_id!r}. `govma-console runs` lists those there are.", run_id=run_id)
        return record

    def stored(self, run_id: str) -> RunRecord | None:
        """Return a run of `ids`, as `read` does; None when its record is gone or damaged."""
        record = self._on_disk(run_id)
        while record is not None and not record.ended and not self._has_process(record):
            # It may have written more before it went, its end above all.
            again = self._on_disk(run_id)
            if again == record:
                message = tr(
                    "The run was interrupted during {stage}: its process is gone.",
                    stage=record.stage or tr("its start"),
                )
                if not record.pid and (last_words := self._last_words(run_id)):
                    message = tr("The run's process ended during its start: {last_words}.", last_words=last_words)
                    if re.search("ModuleNotFoundError|ImportError", last_words):
                        message += tr(
                            " If Python was upgraded with the system: install govma-console again, as for an upgrade."
                        )
                return dataclasses.replace(record, state="interrupted", exit_code=1, message=message)
            record = again
        return record

    def records(self) -> Iterator[RunRecord]:
        """Yield all runs, the latest first; damaged records are passed over."""
        for run_id in self.ids():
            record = self.stored(run_id)
            if record is not None:
                yield record

    def ids(self) -> list[str]:
        """Return the ids of all runs, the latest first; RefusedError when this user may not read them."""
        names: set[str] = set()
        for directory in (self.directory, self.spare):
            with suppress(FileNotFoundError):
                try:
                    names.update(os.listdir(directory))
                except PermissionError:
                    raise RefusedError(
                        "Runs ({directory}) can be read by root and the members of log_group only. Run as "
                        "root, or ask the HTTP server.",
                        directory=directory,
                    ) from None
        return sorted((name for name in names if _ID.fullmatch(name)), reverse=True)

    def latest(self) -> RunRecord | None:
        """Return the latest run."""
        return next(self.records(), None)

    def active(self) -> list[RunRecord]:
        """Return the runs that have not ended: the one at work, then the others in the order they were asked for.

        Runs that have ended are read once.
        """
        ids = self.ids()
        self._ended.intersection_update(ids)
        active = []
        for run_id in reversed(ids):
            if run_id in self._ended:
                continue
            record = self.stored(run_id)
            if record is None:
                continue
            if record.ended:
                self._ended.add(run_id)
            else:
                active.append(record)
        return sorted(active, key=lambda record: record.state != "running")

    def going(self) -> RunRecord | None:
        """Return the run that is at work, or the one that will be next."""
        return next(iter(self.active()), None)

    def find(self, part: str | None) -> RunRecord:
        """Return a run by its id or the unique beginning (or end) of one, the latest without; UsageError otherwise."""
        if part is None:
            record = self.latest()
            if record is None:
                raise UsageError("There was no run yet.")
            return record
        ids = [name for name in self.ids() if name.startswith(part) or name.endswith(part)]
        if len(ids) > 1 and part not in ids:
            listing = "\n".join(f"  {name}" for name in ids[:20])
            raise UsageError("{wanted!r} does not name one run; it could be:\n{shown}", wanted=part, shown=listing)
        return self.read(ids[0] if len(ids) == 1 else part)

    def path(self, run_id: str) -> Path:
        """Return the directory of a run."""
        spare = self.spare / run_id
        return spare if os.path.lexists(spare) else self.directory / run_id

    def _on_disk(self, run_id: str) -> RunRecord | None:
        data = jsonfile.read(self.path(run_id) / "run.json") or {}
        try:
            return RunRecord(**{name: value for name, value in data.items() if name in _NAMES})
        except TypeError:
            # Damaged: a field that it must have is missing.
            return None

    def _last_words(self, run_id: str) -> str:
        """Return the last line of what its process said, to whoever may read that."""
        with suppress(OSError), (self.path(run_id) / ERRORS).open("rb") as file:
            file.seek(-min(_LAST_SIZE, os.fstat(file.fileno()).st_size), os.SEEK_END)
            lines = file.read(_LAST_SIZE).decode("utf-8", "replace").splitlines()
            return clean_line(lines[-1]).rstrip(".") if lines else ""
        return ""

    def _has_process(self, record: RunRecord) -> bool:
        """Tell whether the process of a run lives, or may still start: then the record does not tell it yet."""
        if record.pid or record.state != "starting":
            return record.process.alive()
        with suppress(OSError, ValueError):
            pid, started, boot = os.readlink(self.path(record.id) / _PROCESS).split(" ")
            if not ProcessId(int(pid), int(started), boot).alive():
                return False
        return 0 <= time.time() - record.created < START_GRACE
