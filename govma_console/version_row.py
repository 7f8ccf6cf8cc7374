"""One version as the command, the server and the console list it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from govma_core.disk.usage import VersionUsage
from govma_core.text.clean import bytes_text
from govma_core.text.language import marked, tr
from govma_core.versions.manifest import Manifest
from govma_core.versions.marks import Mark, Pin
from govma_core.versions.store import Version, local_epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRow:
    """All that is known of one version without looking into it."""

    version: Version
    is_live: bool
    manifest: Manifest | None = None
    pin: Pin | None = None
    mark: Mark | None = None
    usage: VersionUsage | None = None
    """What it takes on the disk; None while it is not measured."""
    unread: bool = False
    """Whether this user may not read the state directory: manifest, pin, mark and usage say nothing then."""
    needs_seconds: bool = False
    """Whether any two versions were made in the same minute, so that all times are shown to the second."""

    @property
    def name(self) -> str:
        """Return its name."""
        return self.version.name

    @property
    def epoch(self) -> float:
        """Return when it was made, in seconds since the epoch; 0 when its name tells no time."""
        return local_epoch(self.version.local_time)

    @property
    def state_words(self) -> tuple[str, ...]:
        """Return its state as the command and the server report it: a word, and `pinned` where it is."""
        without_manifest = marked("not readable") if self.unread else marked("no manifest")
        state = self.mark.kind if self.mark else self.manifest.result if self.manifest else without_manifest
        return state if self.version.complete else "incomplete", *(["pinned"] if self.pin else [])

    @property
    def state(self) -> str:
        """Return its state as the console sorts by it: what speaks against it (`★` when pinned), else its best word."""
        result = self.mark.kind if self.mark else self.manifest.result if self.manifest else ""
        against = "incomplete" if not self.version.complete else "" if result in ("", "published") else result
        if against:
            return f"{against} ★" if self.pin else against
        if self.pin:
            return "pinned"
        return "good" if self.manifest else "unknown"

    @property
    def translated_state(self) -> str:
        """Return `state` in the operator's language."""
        word, space, star = self.state.partition(" ")
        return f"{tr(word)}{space}{star}"

    @property
    def subject(self) -> str:
        """Return the subject of its commit, or why that is not known."""
        if self.manifest:
            return self.manifest.subject
        return tr("(not readable by this user)") if self.unread else tr("(made by another tool)")

    def cells(self) -> tuple[str, ...]:
        """Return the row of the table that the command prints."""
        sizes = (bytes_text(self.usage.size), bytes_text(self.usage.exclusive)) if self.usage else ("-", "-")
        manifest = self.manifest
        origin = ("-", "-", "-", "-")
        if manifest:
            origin = (manifest.commit[:9], manifest.subject, manifest.author, manifest.by)
        return ("*" if self.is_live else "", self.name, *sizes, *origin, ", ".join(map(tr, self.state_words)))

    def plain(self) -> dict[str, Any]:
        """Return it as JSON holds it; sizes are null while they are not measured."""
        return {
            "name": self.name,
            "made": self.version.local_time.isoformat() if self.version.local_time else None,
            "current": self.is_live,
            "complete": self.version.complete,
            "state": ", ".join(self.state_words),
            "size": self.usage.size if self.usage else None,
            "exclusive": self.usage.exclusive if self.usage else None,
            "pin": dataclasses.asdict(self.pin) if self.pin else None,
            "mark": dataclasses.asdict(self.mark) if self.mark else None,
            "manifest": dataclasses.asdict(self.manifest) if self.manifest else None,
        }


def build_rows(
    versions: Sequence[Version],
    live: str | None,
    *,
    manifest_of: Callable[[str], Manifest | None],
    pins: Mapping[str, Pin],
    marks: Mapping[str, Mark],
    usage: Mapping[str, VersionUsage],
    unread: bool,
) -> list[VersionRow]:
    """Put together what is known of versions, in their order; the mappings are by name."""
    minutes = {local_epoch(version.local_time) // 60 for version in versions}
    return [
        VersionRow(
            version=version,
            is_live=version.name == live,
            manifest=manifest_of(version.name),
            pin=pins.get(version.name),
            mark=marks.get(version.name),
            usage=usage.get(version.name),
            unread=unread,
            needs_seconds=len(minutes) < len(versions),
        )
        for version in versions
    ]
