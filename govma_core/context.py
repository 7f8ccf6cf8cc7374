"""What every operation is given, and what it gives back."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Self

from govma_core.reporting import Reporter, silent
from govma_core.settings import Settings
from govma_core.versions.manifest import ManifestStore
from govma_core.versions.store import Version, VersionStore


@dataclass(slots=True)
class About:
    """What a run is about, as far as its operation knows by now: told of it whatever becomes of it."""

    version: str = ""
    version_before: str = ""
    commit: str = ""


@dataclass(frozen=True, slots=True)
class Context:
    """One execution of an operation: settings, a voice, and under whose name it runs. `started` is epoch seconds."""

    settings: Settings
    reporter: Reporter
    run_id: str
    by: str
    origin: str
    started: float
    operation: str = ""
    about: About = field(default_factory=About)

    @classmethod
    def for_reading(cls, settings: Settings, reporter: Reporter | None = None) -> Self:
        """Return one for looking, not for doing: it belongs to no run, and without a reporter nothing is told."""
        return cls(settings, reporter or silent(), "", "", "", time.time())

    @property
    def local_start(self) -> datetime:
        """Return the local time of the start."""
        return datetime.fromtimestamp(self.started).astimezone()

    @property
    def web_owner(self) -> tuple[int, int] | None:
        """Return the web server's (uid, gid), None when we are not root and can give nothing away."""
        return self.settings.web_owner if os.geteuid() == 0 else None

    @property
    def build_owner(self) -> tuple[int, int] | None:
        """Return the build's (uid, gid), None when we are not root."""
        return self.settings.build_owner if os.geteuid() == 0 else None

    @property
    def versions(self) -> VersionStore:
        """Return the versions directory."""
        return VersionStore(self.settings.versions_dir)


def commit_of(context: Context, name: str) -> str:
    """Return the commit a version was made from, '' when it has no manifest."""
    manifest = ManifestStore(context.settings.state_dir).read(name)
    return manifest.commit if manifest else ""


def tell_about(context: Context, version: Version, live: str | None) -> str:
    """Tell the run which version it is about, and which is live before; give the commit it was made from."""
    about = context.about
    about.version, about.version_before, about.commit = version.name, live or "", commit_of(context, version.name)
    return about.commit


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an operation came to: a sentence, the version it is about, the one that was live before, the commit.

    `details` is what else a front end may show, as JSON holds it. `state` is `unchanged` when there was nothing to do.
    """

    message: str
    version: str = ""
    version_before: str = ""
    commit: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    state: Literal["ok", "unchanged"] = "ok"
