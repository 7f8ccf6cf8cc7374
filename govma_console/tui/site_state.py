"""The state of the site as the main screen shows it: read from the disk in a thread, and frozen."""

from __future__ import annotations

import dataclasses
import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from govma_console.version_row import VersionRow, build_rows
from govma_core.disk.usage import VersionUsage
from govma_core.errors import GovmaError
from govma_core.fs.permissions import cannot_know
from govma_core.runs.lock import Holder, lock_holder
from govma_core.runs.store import RunRecord, RunStore
from govma_core.settings import Settings
from govma_core.text.clean import clean_line
from govma_core.text.language import counted, tr
from govma_core.versions.history import History, Promotion, Result, Span, spans
from govma_core.versions.holds import NO_HOLDS, Holds, HoldStore
from govma_core.versions.manifest import Manifest, ManifestStore
from govma_core.versions.marks import MarkStore, PinStore
from govma_core.versions.store import Pointer, Version, VersionStore

T = TypeVar("T")
Stamp = tuple[int, int]
"""When a file was written (nanoseconds), and its inode: another stamp, another content."""
_MOST_RUNS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The state of a site at one moment. `problems` are sentences an operator should look at."""

    at: float
    host: str
    pointer: Pointer
    versions: tuple[VersionRow, ...] = ()
    promotions: tuple[Promotion, ...] = ()
    holder: Holder | None = None
    runs: tuple[RunRecord, ...] = ()
    """The latest first."""
    read_only: str = ""
    """Why nothing can be changed from here; '' when it can."""
    problems: tuple[str, ...] = ()
    holds: Holds = NO_HOLDS
    spans: tuple[Span, ...] = ()
    """When which version was live, oldest first."""
    unread: bool = False
    """Whether this user may not read the state directory: what is empty here means nothing then."""
    rehearsed: bool = False
    """Whether the settings have a rehearsal."""

    @property
    def hold(self) -> str:
        """Return the header's sentence about the holds, the one by hand first; '' when there are none."""
        if not self.holds:
            return ""
        first, *others = self.holds.all
        count = counted(len(others), "other hold", "other holds")
        return clean_line(first.sentence() + (tr(" And {holds} (H shows all).", holds=count) if others else ""))

    @property
    def current(self) -> VersionRow | None:
        """Return the version that is live."""
        return next((row for row in self.versions if row.is_live), None)

    @property
    def active(self) -> RunRecord | None:
        """Return the run that goes on, else the one that will be next."""
        going = [run for run in self.runs if not run.ended]
        return min(going, key=lambda run: (run.state != "running", run.id), default=None)

    @property
    def waiting(self) -> int:
        """Return how many runs wait for the one that is going on."""
        return max(0, sum(not run.ended for run in self.runs) - 1)

    def version(self, name: str | None) -> VersionRow | None:
        """Return a version by its name."""
        return next((row for row in self.versions if row.name == name), None)

    def was_live(self, name: str) -> bool:
        """Tell whether a version is live or was, as far as is recorded."""
        promoted = {name for promotion in self.promotions for name in (promotion.version, promotion.previous)}
        return name in promoted or name == self.pointer.version

    def with_usage(self, usage: Mapping[str, VersionUsage]) -> Snapshot:
        """Return it with what each version takes on the disk, by name."""
        rows = tuple(dataclasses.replace(row, usage=usage.get(row.name)) for row in self.versions)
        return dataclasses.replace(self, versions=rows)

    def run(self, run_id: str | None) -> RunRecord | None:
        """Return a run by its id."""
        return next((run for run in self.runs if run.id == run_id), None)


EMPTY = Snapshot(at=0.0, host="", pointer=Pointer(None, None))


@dataclass
class SnapshotReader:
    """Reads snapshots; what has not changed on the disk since the last one is not read again. Not thread-safe."""

    settings: Settings
    _files: dict[Path, tuple[Stamp, Any]] = field(default_factory=dict)
    """The content of each file that was read for the last snapshot."""
    _problems: list[str] = field(default_factory=list)

    def read(self) -> Snapshot:
        """Return the present state, without sizes; `problems` name what cannot be read, which is left out."""
        settings, state_dir = self.settings, self.settings.state_dir
        self._problems = []
        self._before, self._files = self._files, {}
        store = VersionStore(settings.versions_dir)
        pointer = self._try(store.pointer, EMPTY.pointer)
        if pointer.problem:
            self._problems.append(pointer.problem)
        versions_on_disk: list[Version] = self._try(store.versions, [])
        problems_elsewhere = list(self._problems)
        unread = cannot_know(state_dir)
        versions = build_rows(
            versions_on_disk,
            pointer.version,
            manifest_of=lambda name: self._try(lambda: self._manifest(name), None),
            pins=self._try(PinStore(state_dir).read, {}),
            marks=self._try(MarkStore(state_dir).read, {}),
            usage={},
            unread=bool(unread),
        )
        entries: list[Promotion | Result] = self._try(History(state_dir).entries, [])
        holds = self._try(HoldStore(state_dir).read, NO_HOLDS)
        runs: tuple[RunRecord, ...] = self._try(self._all_runs, ())
        holder = self._try(lambda: lock_holder(state_dir), None)
        if unread:
            # One sentence for all of state_dir: the header has no room for one about each file.
            self._problems = [*problems_elsewhere, unread]
        return Snapshot(
            at=time.time(),
            host=socket.gethostname(),
            pointer=pointer,
            versions=tuple(versions),
            promotions=tuple(entry for entry in entries if isinstance(entry, Promotion)),
            holder=holder,
            runs=runs,
            read_only=read_only(settings),
            problems=tuple(dict.fromkeys(map(clean_line, self._problems))),
            holds=holds,
            spans=tuple(spans(entries, pointer.version)),
            unread=bool(unread),
            rehearsed=settings.rehearsed,
        )

    def _try(self, look: Callable[[], T], otherwise: T) -> T:
        """Return what `look` gives; an error becomes a sentence among the problems, and `otherwise` is given."""
        try:
            return look()
        except (GovmaError, OSError) as error:
            self._problems.append(_sentence(error))
            return otherwise

    def _read_changed(
        self, path: Path, read: Callable[[], T], is_final: Callable[[T], bool] = lambda _: True
    ) -> T | None:
        """Return what `read` gives, which is not called again while the file is the same; None where there is none.

        What is not final yet is read in any case.
        """
        stamp = _stamp(path)
        if stamp is None:
            return None
        entry = self._before.get(path)
        if entry is None or entry[0] != stamp or not is_final(entry[1]):
            entry = stamp, read()
        self._files[path] = entry
        content: T = entry[1]
        return content

    def _manifest(self, name: str) -> Manifest | None:
        store = ManifestStore(self.settings.state_dir)
        return self._read_changed(self.settings.state_dir / "versions" / f"{name}.json", lambda: store.read(name))

    def _all_runs(self) -> tuple[RunRecord, ...]:
        store = RunStore(self.settings.state_dir)
        records = []
        for run_id in store.ids()[:_MOST_RUNS]:
            with suppress(GovmaError):
                path = store.path(run_id) / "run.json"
                records.append(self._read_changed(path, partial(store.read, run_id), lambda record: record.ended))
        return tuple(record for record in records if record is not None)


def read_only(settings: Settings) -> str:
    """Say why nothing can be changed by this user; '' when it can."""
    state = settings.state_dir
    place = next((path for path in (state / "runs", state, *state.parents) if os.path.lexists(path)), Path("/"))
    versions = settings.versions_dir
    # One that is no directory is a problem of another kind.
    for path in (place, versions) if os.path.isdir(versions) else (place,):
        if not os.access(path, os.W_OK | os.X_OK):
            return tr("Read-only: {place} cannot be written by this user. Run as root to change anything.", place=path)
    return ""


def _stamp(path: Path) -> Stamp | None:
    try:
        info = path.stat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    return info.st_mtime_ns, info.st_ino


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError):
        file_name = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        return f"{file_name}{error.strerror or error}."
    return str(error)
