"""Everything the main screen shows, read from the disk in one go and frozen. Read in a thread, drawn anywhere."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

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
from govma_core.versions.marks import Mark, MarkStore, PinStore
from govma_core.versions.store import Pointer, VersionStore, local_epoch

T = TypeVar("T")
_MOST_RUNS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRow:
    """One version as the table shows it. `made` is seconds since the epoch, 0 when the name tells no time."""

    name: str
    made: float
    complete: bool
    current: bool
    was_live: bool
    pinned: str | None
    manifest: Manifest | None
    mark: Mark | None = None
    unread: bool = False
    """True when nothing of what was written down may be read."""
    twin: bool = False
    """True when any two versions were made in the same minute: all are told to the second then."""

    @property
    def subject(self) -> str:
        """Return what the commit says of itself, or why that is not known."""
        if self.manifest:
            return self.manifest.subject
        return tr("(not readable by this user)") if self.unread else tr("(made by another tool)")

    @property
    def state(self) -> str:
        """Return the state in a word; what is known against a version is said of a pinned one, too."""
        result = self.manifest.result if self.manifest else ""
        result = self.mark.kind if self.mark else result
        against = "incomplete" if not self.complete else "" if result in ("", "published") else result
        if against:
            return f"{against} ★" if self.pinned is not None else against
        if self.pinned is not None:
            return "pinned"
        return "good" if self.manifest else "unknown"

    @property
    def shown_state(self) -> str:
        """Return the state in the operator's language."""
        word, space, star = self.state.partition(" ")
        return f"{tr(word)}{space}{star}"


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
    hold: str = ""
    read_only: str = ""
    """Why nothing can be changed from here; '' when it can."""
    problems: tuple[str, ...] = ()
    holds: Holds = NO_HOLDS
    spans: tuple[Span, ...] = ()
    """When which version was live, oldest first."""
    unread: bool = False
    """True when nothing of what was written down may be read: what is empty here says nothing then."""
    rehearsed: bool = False
    """Whether the settings say how a version is tried before it goes live."""

    @property
    def current(self) -> VersionRow | None:
        """Return the version that is live."""
        return next((row for row in self.versions if row.current), None)

    @property
    def active(self) -> RunRecord | None:
        """Return the run that is going on, or will be next."""
        going = [run for run in self.runs if not run.ended]
        return min(going, key=lambda run: (run.state != "running", run.id), default=None)

    @property
    def waiting(self) -> int:
        """Return how many runs wait for the one that is going on."""
        return max(0, sum(not run.ended for run in self.runs) - 1)

    def version(self, name: str | None) -> VersionRow | None:
        """Return a version by its name."""
        return next((row for row in self.versions if row.name == name), None)

    def run(self, run_id: str | None) -> RunRecord | None:
        """Return a run by its id."""
        return next((run for run in self.runs if run.id == run_id), None)


EMPTY = Snapshot(at=0.0, host="", pointer=Pointer(None, None))


@dataclass
class SnapshotReader:
    """Reads snapshots; what has not changed on the disk since the last one is not read again. Not thread-safe."""

    settings: Settings
    _runs: dict[str, tuple[tuple[int, int], RunRecord]] = field(default_factory=dict)
    _manifests: dict[str, tuple[tuple[int, int], Manifest | None]] = field(default_factory=dict)

    def read(self) -> Snapshot:
        """Return the present state; what cannot be read is left out, and said in `problems`."""
        settings = self.settings
        problems: list[str] = []
        store = VersionStore(settings.versions_dir)
        try:
            pointer, versions = store.pointer(), store.versions()
        except (GovmaError, OSError) as error:
            problems.append(_sentence(error))
            pointer, versions = Pointer(None, None), []
        if pointer.problem:
            problems.append(pointer.problem)
        nothing: list[Promotion | Result] = []
        entries = _guarded(lambda: History(settings.state_dir).entries(), nothing, problems)
        promotions = tuple(entry for entry in entries if isinstance(entry, Promotion))
        holds = _guarded(lambda: HoldStore(settings.state_dir).read(), NO_HOLDS, problems)
        unmarked: dict[str, Mark] = {}
        marks = _guarded(lambda: MarkStore(settings.state_dir).read(), unmarked, problems)
        unpinned: dict[str, str] = {}
        pins = _guarded(lambda: _pins(settings), unpinned, problems)
        unread = cannot_know(settings.state_dir)
        if unread:
            problems.append(unread)
        minutes = {local_epoch(version.made) // 60 for version in versions}
        was_live = {name for promotion in promotions for name in (promotion.version, promotion.previous)}
        rows = tuple(
            VersionRow(
                name=version.name,
                made=local_epoch(version.made),
                complete=version.complete,
                current=version.name == pointer.version,
                was_live=version.name in was_live or version.name == pointer.version,
                pinned=pins.get(version.name),
                manifest=_guarded(partial(self._manifest, version.name), None, problems),
                mark=marks.get(version.name),
                unread=bool(unread),
                twin=len(minutes) < len(versions),
            )
            for version in versions
        )
        there = {row.name for row in rows}
        self._manifests = {name: known for name, known in self._manifests.items() if name in there}
        holder = _guarded(lambda: lock_holder(settings.state_dir), None, problems)
        runs: tuple[RunRecord, ...] = _guarded(self._all_runs, (), problems)
        return Snapshot(
            at=time.time(),
            host=socket.gethostname(),
            pointer=pointer,
            versions=rows,
            promotions=promotions,
            holder=holder,
            runs=runs,
            hold=_banner(holds),
            read_only=read_only(settings),
            problems=tuple(dict.fromkeys(map(clean_line, problems))),
            holds=holds,
            spans=tuple(spans(entries, pointer.version)),
            unread=bool(unread),
            rehearsed=settings.rehearsed,
        )

    def _manifest(self, name: str) -> Manifest | None:
        stamp = _stamp(self.settings.state_dir / "versions" / f"{name}.json")
        if stamp is None:
            return None
        record = self._manifests.get(name)
        if record is None or record[0] != stamp:
            record = self._manifests[name] = (stamp, ManifestStore(self.settings.state_dir).read(name))
        return record[1]

    def _all_runs(self) -> tuple[RunRecord, ...]:
        store = RunStore(self.settings.state_dir)
        records = []
        for run_id in store.ids()[:_MOST_RUNS]:
            stamp = _stamp(store.path(run_id) / "run.json")
            record = self._runs.get(run_id)
            if stamp is None:
                continue
            if record is None or record[0] != stamp or not record[1].ended:
                try:
                    record = (stamp, store.read(run_id))
                except GovmaError:
                    continue
                self._runs[run_id] = record
            records.append(record[1])
        ids = {run.id for run in records}
        self._runs = {run_id: record for run_id, record in self._runs.items() if run_id in ids}
        return tuple(records)


def _banner(holds: Holds) -> str:
    """Return what the header says of the holds, that by hand first; '' when there are none."""
    if not holds:
        return ""
    first, *others = holds.all
    more = tr(" And {holds} (H shows all).", holds=counted(len(others), "other hold", "other holds")) if others else ""
    return clean_line(f"{first.sentence()}{more}")


def _guarded(look: Callable[[], T], otherwise: T, problems: list[str]) -> T:
    """Return what `read` gives; an error becomes a sentence among the problems, and `otherwise` is given."""
    try:
        return look()
    except (GovmaError, OSError) as error:
        problems.append(_sentence(error))
        return otherwise


def read_only(settings: Settings) -> str:
    """Say why nothing can be changed by this user; '' when it can."""
    state = settings.state_dir
    place = next((path for path in (state / "runs", state, *state.parents) if os.path.lexists(path)), Path("/"))
    if not os.access(place, os.W_OK | os.X_OK):
        return tr("Read-only: {place} cannot be written by this user. Run as root to change anything.", place=place)
    if settings.versions_dir.is_dir() and not os.access(settings.versions_dir, os.W_OK | os.X_OK):
        return tr(
            "Read-only: {versions_dir} cannot be written by this user. Run as root to change anything.",
            versions_dir=settings.versions_dir,
        )
    return ""


def _stamp(path: Path) -> tuple[int, int] | None:
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


# Milliseconds: how long it must be still before a change is told, and how long it is waited for that at most.
_STEP = 150
_DEBOUNCE = 500
_LOOK_AGAIN = 700
_LOOK_FOR_MISSING = 1.0


class Watcher(threading.Thread):
    """Calls `changed` (in this thread) after something in one of the directories was made, removed or renamed.

    Changes are gathered for a fraction of a second. A directory that is missing or was replaced is found within a
    second.
    """

    def __init__(self, directories: Sequence[Path], changed: Callable[[], None]) -> None:
        super().__init__(name="watch", daemon=True)
        self._directories = directories
        self._changed = changed
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End the thread soon; it need not be waited for."""
        self._stopping.set()

    def run(self) -> None:
        """Watch until stop() is called."""
        before: dict[Path, int] | None = None
        while not self._stopping.is_set():
            there = self._there()
            if before is not None and there != before:
                self._changed()
            before = there
            if not there:
                self._stopping.wait(_LOOK_FOR_MISSING)
                continue
            try:
                self._watch(there)
            except Exception:
                self._poll(there)

    def _watch(self, there: dict[Path, int]) -> None:
        # Imported here: it costs as much as a tenth of the start of the app.
        from watchfiles import watch

        # What happened before the watch began is not told by it: its first answer is taken for a change in any case.
        begun = False
        for changes in watch(
            *there,
            watch_filter=None,
            debounce=_DEBOUNCE,
            step=_STEP,
            rust_timeout=_LOOK_AGAIN,
            yield_on_timeout=True,
            stop_event=self._stopping,
            recursive=False,
            raise_interrupt=False,
            ignore_permission_denied=True,
        ):
            if changes or not begun:
                begun = True
                self._changed()
            if self._there() != there:
                return

    def _poll(self, there: dict[Path, int]) -> None:
        def times() -> list[int]:
            return [path.stat().st_mtime_ns for path in there if path.exists()]

        before = times()
        while not self._stopping.wait(1.0) and self._there() == there:
            now = times()
            if now != before:
                before = now
                self._changed()

    def _there(self) -> dict[Path, int]:
        directories = {}
        for path in self._directories:
            try:
                if path.is_dir() and os.access(path, os.R_OK):
                    directories[path] = path.stat().st_ino
            except OSError:
                continue
        return directories


def _pins(settings: Settings) -> dict[str, str]:
    """Return the pinned versions, and what is known of each pin."""
    return {name: pin.sentence() for name, pin in PinStore(settings.state_dir).read().items()}
