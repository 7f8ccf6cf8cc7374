"""A site for a test: the sample, its settings, and operations run in this process with their events kept."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from govma_core.context import Context, Outcome
from govma_core.deploy import deploy
from govma_core.events import Event, LogLine, StageFinished
from govma_core.promotion import promote, rollback
from govma_core.reporting import Cancellation, Reporter
from govma_core.runs import recovery
from govma_core.settings import Settings, load
from govma_core.versions.store import VersionStore
from tests.support.sample import SampleSite, create_sample

STAGES = [
    "preflight",
    "source",
    "workdir",
    "assets",
    "assets/install",
    "assets/docs",
    "assets/prod",
    "env",
    "ownership",
    "vendor",
    "uploads",
    "publish",
    "promote",
]


@dataclass
class Site:
    """A sample site and what its operations said."""

    sample: SampleSite
    flags: dict[str, Any] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    cancellation: Cancellation = field(default_factory=Cancellation)
    clock: float = field(default_factory=lambda: time.time() - 500_000)

    @property
    def settings(self) -> Settings:
        return load({}, file=self.sample.config_file, flags=self.flags).settings

    @property
    def store(self) -> VersionStore:
        return VersionStore(self.settings.versions_dir)

    @property
    def current(self) -> Path:
        """Return the path of the version that is live."""
        name = self.store.pointer().version
        assert name is not None
        return self.settings.versions_dir / name

    def context(self) -> Context:
        # Each operation a minute later than the one before: names of versions tell seconds.
        self.clock += 60
        self.events.clear()
        self.cancellation = Cancellation()
        self.settings.state_dir.mkdir(exist_ok=True)
        reporter = Reporter(self.events.append, self.cancellation)
        return Context(self.settings, reporter, f"run-{self.clock:.0f}", "ana", "test", self.clock)

    def deploy(self, **arguments: Any) -> Outcome:
        context = self.context()
        recovery.clear_versions(context)
        return deploy.run(context, **arguments)

    def promote(self, version: str) -> Outcome:
        return promote.run(self.context(), version=version)

    def rollback(self, version: str | None = None) -> Outcome:
        return rollback.run(self.context(), version=version)

    def log(self, level: str | None = None) -> str:
        lines = [e.text for e in self.events if isinstance(e, LogLine) and level in (None, e.level)]
        return "\n".join(lines)

    def stages(self) -> dict[str, StageFinished]:
        return {event.stage: event for event in self.events if isinstance(event, StageFinished)}


def make_site(root: Path, **options: Any) -> Site:
    """Make a sample site below root; options are those of create_sample."""
    return Site(create_sample(root, **options))
