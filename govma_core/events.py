"""What an operation tells while it works: frozen dataclasses, written one JSON object a line.

Every event carries `at`, seconds since the epoch. Readers skip kinds they don't know, so that an older console can
follow a newer runner.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

Level = Literal["info", "warning", "error", "output"]
Outcome = Literal["ok", "skipped", "warning", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class StageStarted:
    """A named stage of the run begins."""

    kind: ClassVar[str] = "stage-started"
    at: float
    stage: str


@dataclass(frozen=True, slots=True)
class StageFinished:
    """A stage ended after `seconds`, with an outcome and perhaps a short remark (what was reused, why skipped)."""

    kind: ClassVar[str] = "stage-finished"
    at: float
    stage: str
    outcome: Outcome
    seconds: float
    remark: str = ""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line without line end or control characters; `output` is the builder's own, the other levels are ours."""

    kind: ClassVar[str] = "log"
    at: float
    level: Level
    text: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the current stage is; `total` is 0 while it is not known."""

    kind: ClassVar[str] = "progress"
    at: float
    stage: str
    done: int
    total: int
    unit: str


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The last event of a run: its result, exit code, and one sentence."""

    kind: ClassVar[str] = "run-finished"
    at: float
    result: str
    exit_code: int
    message: str

    @property
    def is_success(self) -> bool:
        """True when the run did what it was for, or had nothing to do."""
        return self.exit_code == 0


Event = StageStarted | StageFinished | LogLine | Progress | RunFinished
Emit = Callable[[Event], None]

_KINDS: dict[str, type[Event]] = {
    cls.kind: cls for cls in (StageStarted, StageFinished, LogLine, Progress, RunFinished)
}
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_FIELDS = {kind: frozenset(f.name for f in dataclasses.fields(cls)) for kind, cls in _KINDS.items()}


def to_dict(event: Event) -> dict[str, Any]:
    """Return the event as a JSON-ready dict, its kind under `event`."""
    return {"event": event.kind} | {name: getattr(event, name) for name in event.__slots__}


def to_json(event: Event) -> str:
    """Return the event as one line of JSON, without line end."""
    return _encode(to_dict(event))


def output_json(at: float, lines: Iterable[str]) -> str:
    """Return lines of a program's output as lines of JSON, with line ends; what to_json() makes of each, at once."""
    head = f'{{"event":"log","at":{at!r},"level":"output","text":'
    return "".join([f"{head}{_encode(line)}}}\n" for line in lines])


def from_json(line: str | bytes) -> Event | None:
    """Read one line of an events file; None for a damaged line or an unknown kind."""
    try:
        data = json.loads(line)
        kind = data.pop("event")
        return _KINDS[kind](**{k: v for k, v in data.items() if k in _FIELDS[kind]})
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
