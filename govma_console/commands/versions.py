"""The list of versions."""

from __future__ import annotations

import argparse
import dataclasses
from dataclasses import dataclass
from typing import Any

from govma_console.commands.settings import effective
from govma_console.output import print_json, print_table, warn
from govma_core.disk.usage_summary import VersionUsage, last_measured
from govma_core.errors import ExitCode
from govma_core.settings import Settings
from govma_core.text import bytes_text
from govma_core.versions.manifest import Manifest, ManifestStore
from govma_core.versions.pins import Pin, PinStore
from govma_core.versions.store import Version, VersionStore


@dataclass(frozen=True, slots=True)
class Listed:
    """All that is known of one version without looking into it."""

    version: Version
    current: bool
    manifest: Manifest | None
    pin: Pin | None
    usage: VersionUsage | None

    @property
    def state(self) -> str:
        """Give its state in a word or two."""
        known = self.manifest.result if self.manifest else "no manifest"
        state = known if self.version.complete else "incomplete"
        return ", ".join(word for word in (state, "pinned" if self.pin else "") if word)

    def cells(self) -> tuple[str, ...]:
        """Give it as a row of the table."""
        sizes = (bytes_text(self.usage.size), bytes_text(self.usage.exclusive)) if self.usage else ("-", "-")
        made = self.manifest
        known = (made.commit[:9], made.subject, made.author, made.by) if made else ("-", "-", "-", "-")
        return ("*" if self.current else "", self.version.name, *sizes, *known, self.state)

    def plain(self) -> dict[str, Any]:
        """Give it as JSON holds it; sizes are null while nobody has measured them."""
        return {
            "name": self.version.name,
            "made": self.version.made.isoformat() if self.version.made else None,
            "current": self.current,
            "complete": self.version.complete,
            "state": self.state,
            "size": self.usage.size if self.usage else None,
            "exclusive": self.usage.exclusive if self.usage else None,
            "pin": dataclasses.asdict(self.pin) if self.pin else None,
            "manifest": dataclasses.asdict(self.manifest) if self.manifest else None,
        }


def list_versions(given: argparse.Namespace) -> int:
    """Print the versions, the newest first; the current one is marked."""
    settings = effective(given)
    if not given.json:
        print_versions(settings)
        return ExitCode.OK
    store = VersionStore(settings.versions_dir)
    pointer = store.pointer()
    print_json(
        {
            "current": pointer.version,
            "problem": pointer.problem,
            "versions": [found.plain() for found in _listed(settings, store, pointer.version)],
            "others": store.other_names(),
        }
    )
    return ExitCode.OK


def print_versions(settings: Settings) -> None:
    """Print the table of versions; what an operator should look at goes to standard error."""
    store = VersionStore(settings.versions_dir)
    pointer = store.pointer()
    listed = _listed(settings, store, pointer.version)
    header = ("", "VERSION", "SIZE", "EXCLUSIVE", "COMMIT", "SUBJECT", "AUTHOR", "DEPLOYED BY", "STATE")
    rows = [found.cells() for found in listed]
    print_table(header, rows, cut=(5, 6), drop=(7, 6, 4), right=(2, 3))
    if pointer.problem:
        warn(f"warning: {pointer.problem}")
    others = store.other_names()
    if others:
        warn(f"Left alone in {settings.versions_dir}: {', '.join(others)}")
    unknown = sum(found.usage is None for found in listed)
    if unknown:
        warn(f"The sizes of {unknown} versions are not known yet: `govma-console usage` measures them.")


def _listed(settings: Settings, store: VersionStore, current: str | None) -> list[Listed]:
    manifests, pins = ManifestStore(settings.state_dir), PinStore(settings.state_dir).read()
    sizes = last_measured(settings.state_dir / "usage", settings.versions_dir)
    return [
        Listed(found, found.name == current, manifests.read(found.name), pins.get(found.name), sizes.get(found.name))
        for found in store.versions()
    ]
