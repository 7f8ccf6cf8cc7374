"""What every operation is given, and what it gives back."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from govma_core.reporting import Reporter
from govma_core.settings import Settings
from govma_core.versions.history import History, How, Promotion
from govma_core.versions.promotion import Switch, switch
from govma_core.versions.store import VersionStore


@dataclass(frozen=True, slots=True)
class Context:
    """One execution of an operation: settings, a voice, and under whose name it runs. `started` is epoch seconds."""

    settings: Settings
    reporter: Reporter
    run_id: str
    by: str
    origin: str
    started: float

    @property
    def local_start(self) -> datetime:
        """Give the local time of the start."""
        return datetime.fromtimestamp(self.started).astimezone()

    @property
    def web_owner(self) -> tuple[int, int] | None:
        """Give the web server's (uid, gid), None when we are not root and can give nothing away."""
        return self.settings.web_owner if os.geteuid() == 0 else None

    @property
    def build_owner(self) -> tuple[int, int] | None:
        """Give the build's (uid, gid), None when we are not root."""
        return self.settings.build_owner if os.geteuid() == 0 else None

    @property
    def versions(self) -> VersionStore:
        """Give the versions directory."""
        return VersionStore(self.settings.versions_dir)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an operation came to: a sentence, the version it is about, the one that was live before, the commit.

    `details` is what else a front end may show, as JSON holds it.
    """

    message: str
    version: str = ""
    version_before: str = ""
    commit: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


def make_live(context: Context, name: str, how: How) -> Switch:
    """Switch `current-version` to a complete version, and write the promotion down."""
    done = switch(context.versions, name, context.web_owner, context.reporter.cancellation.close)
    if done.previous.problem and done.previous.target is not None:
        context.reporter.warning(f"Before: {done.previous.problem}")
    context.reporter.info(
        f"current-version -> {name} (was {done.previous.version or 'nothing'}); {done.freshened} css/js files "
        f"freshened; {done.seconds * 1000:.0f} ms, and {done.sync_seconds * 1000:.0f} ms to put everything on the disk"
    )
    promotion = Promotion(time.time(), name, done.previous.version or "", how, context.by, context.run_id)
    try:
        History(context.settings.state_dir).append(promotion)
    except OSError as error:
        # The switch stands; what follows from the history is found again from the link (see live_before).
        context.reporter.warning(f"The promotion could not be written to the history: {error.strerror}.")
    return done
