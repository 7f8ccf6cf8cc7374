"""A versions directory for a test: releases that share most of their files as hard links, and operations on them."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from govma_core.context import Context
from govma_core.events import Event, LogLine, StageFinished
from govma_core.reporting import Cancellation, Reporter
from govma_core.settings import Settings, load
from govma_core.versions.manifest import Manifest, ManifestStore
from govma_core.versions.store import VersionStore, version_name, version_time

NAMES = [f"data-build--2021-09-{day:02}-10h20m30s" for day in range(1, 29)]
SHARED, OWN = 20, 6


@dataclass
class Releases:
    """Releases below a root; `context()` gives one execution at the time `clock` (epoch seconds)."""

    root: Path
    flags: dict[str, Any] = field(default_factory=dict)
    clock: float = 1_700_000_000.0
    events: list[Event] = field(default_factory=list)
    cancellation: Cancellation = field(default_factory=Cancellation)

    def __post_init__(self) -> None:
        for directory in (self.directory, self.state):
            directory.mkdir(parents=True)
        settings = f'versions_dir = "{self.directory}"\nstate_dir = "{self.state}"\n'
        self.config.write_text(settings + 'builder = "local"\n')

    @property
    def directory(self) -> Path:
        return self.root / "www_versions"

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def config(self) -> Path:
        return self.root / "settings.toml"

    @property
    def settings(self) -> Settings:
        return load({}, file=self.config, flags=self.flags).settings

    @property
    def store(self) -> VersionStore:
        return VersionStore(self.directory)

    @property
    def manifests(self) -> ManifestStore:
        return ManifestStore(self.state)

    def there(self) -> list[str]:
        """Return the names of the versions, the oldest first."""
        return sorted(version.name for version in self.store.versions())

    def hidden(self) -> list[str]:
        return sorted(name for name in os.listdir(self.directory) if name.startswith("."))

    def add(self, *names: str, result: str | None = None) -> None:
        """Make versions: each has files of its own, and shares the others with the first; `result` gives a manifest."""
        for name in names:
            tree = self.directory / name
            for part in ("html/assets", "system/user"):
                (tree / part).mkdir(parents=True)
            shared = self.root / "shared"
            shared.mkdir(exist_ok=True)
            for number in range(SHARED):
                source = shared / str(number)
                if not source.exists():
                    source.write_bytes(f"shared {number} ".encode() * 500)
                os.link(source, tree / "html/assets" / str(number))
            for number in range(OWN):
                (tree / "system/user" / str(number)).write_bytes(f"{name} {number} ".encode() * 300)
            (tree / "html/uploads").symlink_to("../../../uploads")
            if result is not None:
                self.record(name, result)

    def record(self, name: str, result: str = "published", commit: str = "") -> None:
        """Write the manifest of a version; without a commit it is the only one that was made from its own."""
        created = version_time(name)
        assert created is not None
        manifest = Manifest(
            version=name,
            run="r",
            commit=commit or name,
            subject="s",
            author="a",
            committed=0.0,
            ref="main",
            by="ana",
            origin="test",
            started=created.timestamp(),
            result=result,
        )
        self.manifests.write(manifest)

    def forget_shared(self) -> None:
        """Leave what the versions share to them alone."""
        shutil.rmtree(self.root / "shared")

    def live(self, name: str) -> None:
        link = self.directory / "current-version"
        link.unlink(missing_ok=True)
        link.symlink_to(name)

    def whole(self, name: str) -> bool:
        """Tell whether a version has all that add() gave it."""
        tree = self.directory / name
        own = all(
            (tree / "system/user" / str(number)).read_bytes() == f"{name} {number} ".encode() * 300
            for number in range(OWN)
        )
        return own and all(
            (tree / "html/assets" / str(number)).read_bytes() == f"shared {number} ".encode() * 500
            for number in range(SHARED)
        )

    def context(self) -> Context:
        self.clock += 60
        self.events.clear()
        self.cancellation = Cancellation()
        reporter = Reporter(self.events.append, self.cancellation)
        return Context(self.settings, reporter, f"run-{self.clock:.0f}", "ana", "test", self.clock)

    def log(self, level: str | None = None) -> str:
        return "\n".join(e.text for e in self.events if isinstance(e, LogLine) and level in (None, e.level))

    def stages(self) -> dict[str, StageFinished]:
        return {event.stage: event for event in self.events if isinstance(event, StageFinished)}


def eight_releases(root: Path) -> Releases:
    """Make eight releases, the last one live."""
    releases = Releases(root)
    releases.add(*NAMES[:8])
    releases.live(NAMES[7])
    return releases


def name_at(seconds: float) -> str:
    """Return the name of a version that was made at this time."""
    return version_name(datetime.fromtimestamp(seconds).astimezone())
