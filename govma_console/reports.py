"""What the site is at, as commands print it and the HTTP server answers it: versions, status, history, runs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from itertools import islice
from typing import Any

from govma_console.version_row import VersionRow, build_rows
from govma_core.disk.usage import last_measured
from govma_core.errors import RefusedError
from govma_core.fs.permissions import cannot_know
from govma_core.runs.lock import Holder, lock_holder
from govma_core.runs.store import RunRecord, RunStore
from govma_core.settings import Settings
from govma_core.versions.history import History, Promotion, Span, spans
from govma_core.versions.holds import Holds, HoldStore
from govma_core.versions.manifest import Manifest, ManifestStore
from govma_core.versions.marks import Mark, MarkStore, PinStore
from govma_core.versions.store import Pointer, VersionStore


def version_rows(settings: Settings, store: VersionStore, live: str | None) -> list[VersionRow]:
    """Return the row of each version, the latest first; `live` is the name of the live one."""
    return build_rows(
        store.versions(),
        live,
        manifest_of=ManifestStore(settings.state_dir).read,
        pins=PinStore(settings.state_dir).read(),
        marks=MarkStore(settings.state_dir).read(),
        usage=last_measured(settings.state_dir, settings.versions_dir),
        unread=bool(cannot_know(settings.state_dir)),
    )


def versions(settings: Settings) -> dict[str, Any]:
    """Report the versions, the latest first, and which one is live."""
    store = VersionStore(settings.versions_dir)
    pointer = store.pointer()
    return {
        "current": pointer.version,
        "problem": pointer.problem,
        "versions": [row.plain() for row in version_rows(settings, store, pointer.version)],
        "others": store.other_names(),
        "unread": cannot_know(settings.state_dir),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteStatus:
    """What is live and since when, who holds the lock, which runs wait for it, the last run, and what is held."""

    pointer: Pointer
    manifest: Manifest | None
    since: Promotion | None
    holder: Holder | None
    waiting: tuple[RunRecord, ...]
    last: RunRecord | None
    holds: Holds
    mark: Mark | None
    """The mark of the live version, when it is judged bad."""
    unread: str = ""
    """Why this user may not read the runs; '' when it may."""

    def plain(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "current": self.pointer.version,
            "target": self.pointer.target,
            "problem": self.pointer.problem,
            "manifest": dataclasses.asdict(self.manifest) if self.manifest else None,
            "promotion": dataclasses.asdict(self.since) if self.since else None,
            "holder": dataclasses.asdict(self.holder) if self.holder else None,
            "waiting": [run(record) for record in self.waiting],
            "last_run": run(self.last) if self.last else None,
            "holds": self.holds.plain(),
            "mark": dataclasses.asdict(self.mark) if self.mark else None,
            "unread": self.unread,
        }


def status(settings: Settings) -> SiteStatus:
    """Report what is live, what runs and what holds deploys."""
    pointer = VersionStore(settings.versions_dir).pointer()
    promotions = History(settings.state_dir).read()
    runs_ = RunStore(settings.state_dir)
    waiting: tuple[RunRecord, ...] = ()
    last, unread, holds = None, "", Holds()
    try:
        waiting, last = tuple(record for record in runs_.active() if record.state == "waiting"), runs_.latest()
        holds = HoldStore(settings.state_dir).read()
    except (RefusedError, PermissionError) as error:
        unread = str(error)
    return SiteStatus(
        pointer=pointer,
        manifest=ManifestStore(settings.state_dir).read(pointer.version) if pointer.version else None,
        since=promotions[-1] if promotions and promotions[-1].version == pointer.version else None,
        holder=lock_holder(settings.state_dir),
        waiting=waiting,
        last=last,
        holds=holds,
        mark=MarkStore(settings.state_dir).read().get(pointer.version or ""),
        unread=unread,
    )


def history(settings: Settings, most: int) -> list[Span]:
    """Return the times in which versions were live, the latest first; RefusedError when this user may not read them."""
    if unread := cannot_know(settings.state_dir):
        raise RefusedError(unread)
    current = VersionStore(settings.versions_dir).pointer().version
    return spans(History(settings.state_dir).entries(), current)[::-1][:most]


def runs(store: RunStore, most: int) -> list[dict[str, Any]]:
    """Report the runs, the latest first."""
    return [run(record) for record in islice(store.records(), most)]


def run(record: RunRecord) -> dict[str, Any]:
    """Report a run: its record without the settings it ran with."""
    data = dataclasses.asdict(record)
    del data["settings"], data["key"]
    return data
