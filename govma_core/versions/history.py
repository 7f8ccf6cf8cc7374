"""Which version was live when: the promotions in `<state_dir>/history.jsonl` with their results, and what follows."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from govma_core.fs import jsonfile
from govma_core.versions.marks import moment, text
from govma_core.versions.store import Version

How = Literal["deploy", "promote", "rollback", "revert"]


@dataclass(frozen=True, slots=True)
class Promotion:
    """One switch of the link: when (epoch seconds), to what, from what ('' for nothing), how, by whom, in which run."""

    at: float
    version: str
    previous: str
    how: str
    by: str
    run: str


@dataclass(frozen=True, slots=True)
class Result:
    """The result of the last promotion of the run `of`, and when it was noted."""

    of: str
    at: float
    result: str


class History:
    """The promotions in order, oldest first."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "history.jsonl"

    def append(self, promotion: Promotion) -> None:
        """Add a promotion; on the disk when this returns."""
        jsonfile.append(self._path, dataclasses.asdict(promotion))

    def note(self, run: str, result: str, at: float) -> None:
        """Add the result of the last promotion of a run; on the disk when this returns."""
        jsonfile.append(self._path, dataclasses.asdict(Result(run, at, result)))

    def read(self) -> list[Promotion]:
        """Return all promotions; damaged lines are passed over."""
        return [entry for entry in self.entries() if isinstance(entry, Promotion)]

    def entries(self) -> list[Promotion | Result]:
        """Return all lines; damaged ones are passed over."""
        entries = (_entry(line) for line in jsonfile.lines(self._path))
        return [entry for entry in entries if entry is not None]


def _entry(line: dict[str, Any]) -> Promotion | Result | None:
    kind = Result if "of" in line else Promotion
    for field in dataclasses.fields(kind):
        if not isinstance(line.get(field.name), str if field.type == "str" else int | float):
            return None
    at = moment(line, "at")
    if kind is Result:
        return Result(text(line, "of"), at, text(line, "result"))
    version, previous, how, by, run = (text(line, name) for name in ("version", "previous", "how", "by", "run"))
    return Promotion(at, version, previous, how, by, run)


@dataclass(frozen=True, slots=True)
class Span:
    """A time in which a version was live, the version before it ('' for none), and how it became live.

    `since` and `until` are epoch seconds, 0 where not written down; `until` is None while it is live. `how` is ''
    for a link that was set by hand or by deploy.sh: by whom is not known then. `result` is '' where none was noted.
    """

    version: str
    since: float
    until: float | None
    by: str = ""
    how: str = ""
    run: str = ""
    result: str = ""
    previous: str = ""


def spans(entries: Iterable[Promotion | Result], current: str | None) -> list[Span]:
    """Return the times in which versions were live, oldest first; `current` is where the link leads (None: nowhere).

    Where a promotion started from another version than the one before it had made live, the link was switched by hand
    between the two, at an unknown time.
    """
    spans: list[Span] = []
    for entry in entries:
        if isinstance(entry, Result):
            _note(spans, entry)
            continue
        _end(spans, entry.previous, entry.at)
        if entry.how == "revert" and spans and spans[-1].run == entry.run and not spans[-1].result:
            spans[-1] = dataclasses.replace(spans[-1], result="reverted")
        spans.append(Span(entry.version, entry.at, None, entry.by, entry.how, entry.run, previous=entry.previous))
    _end(spans, current or "", None)
    return spans


def _end(spans: list[Span], version: str, at: float | None) -> None:
    """End the last span at the time `at`, when the version ceased to be live (None: it is still live)."""
    last = spans[-1] if spans else None
    if last is not None and last.version == version:
        spans[-1] = dataclasses.replace(last, until=at)
        return
    if last is not None:
        spans[-1] = dataclasses.replace(last, until=0.0)
    if version:
        spans.append(Span(version, 0.0, at, previous=last.version if last else ""))


def _note(spans: list[Span], result: Result) -> None:
    for at in reversed(range(len(spans))):
        if spans[at].run == result.of:
            spans[at] = dataclasses.replace(spans[at], result=result.result)
            return


def live_before(promotions: Iterable[Promotion], current: str | None) -> list[str]:
    """Return the versions that were live before the current one, the latest first: where rollbacks lead, in turn.

    A rollback or a revert takes the version that it leads away from off the trail, so that a second rollback goes
    further back and never returns to it. A link that was switched by hand counts as one more promotion.
    """
    trail: list[str] = []
    for promotion in promotions:
        _put_on(trail, promotion.previous)
        if promotion.how in ("rollback", "revert"):
            _take_back(trail, promotion)
        _put_on(trail, promotion.version)
    _put_on(trail, current or "")
    return [name for name in reversed(trail) if name != current]


def rollback_target(trail: Iterable[str], versions: Iterable[Version], excluded: Collection[str]) -> Version | None:
    """Return the version that a rollback leads to: the first of the trail that is there, whole and not excluded."""
    whole = {version.name: version for version in versions if version.complete}
    return next((whole[name] for name in trail if name in whole and name not in excluded), None)


def _take_back(trail: list[str], promotion: Promotion) -> None:
    if promotion.version in trail:
        del trail[trail.index(promotion.version) :]
    elif promotion.how == "revert" and trail[-1:] == [promotion.previous]:
        # It leads to a version that a rollback had taken off the trail.
        trail.pop()


def _put_on(trail: list[str], name: str) -> None:
    """Move the name to the end of the trail, or add it there."""
    if name and trail[-1:] != [name]:
        if name in trail:
            trail.remove(name)
        trail.append(name)
