"""The record of a run, as it is stored."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from govma_core.process import ProcessId

State = Literal["starting", "waiting", "running", "ok", "failed", "refused", "busy", "cancelled", "interrupted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A run as its record tells it. Times are seconds since the epoch, 0 while not there yet.

    `queued`: it waits for its turn where another run would be told that somebody else's is going. `key`: what a caller
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


def from_data(data: dict[str, Any]) -> RunRecord | None:
    """Return a record that was stored with these fields; None when one that it must have is missing."""
    try:
        return RunRecord(**{name: value for name, value in data.items() if name in _NAMES})
    except TypeError:
        return None
