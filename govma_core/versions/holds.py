"""Holds: deploys that must not go live, one small file each in `<state_dir>/holds/`.

`all.json` holds every deploy, by hand; `<sha>.json` the deploys of one commit, after a rollback from it.
"""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from govma_core.errors import HeldError
from govma_core.text.language import date_format, tr
from govma_core.versions.marks import SmallFiles, moment, one_line, text

_ALL = "all"
_SHA = re.compile("[0-9a-f]{7,64}")


@dataclass(frozen=True, slots=True)
class Hold:
    """Who holds deploys, why ('' when not said), since when and until when (epoch seconds; 0: until it is released).

    `commit` is the one that is held ('' for all), `version` the one that was made from it and left, `run` the run that
    did that.
    """

    commit: str = ""
    version: str = ""
    reason: str = ""
    by: str = ""
    at: float = 0.0
    until: float = 0.0
    run: str = ""
    damaged: bool = False

    def sentence(self) -> str:
        """Say what is held, by whom, since when, why, and until when."""
        what = (
            tr("Deploys of commit {commit} are held", commit=self.commit[:9]) if self.commit else tr("Deploys are held")
        )
        if self.damaged:
            return tr("{what}: the record of the hold is damaged, so nobody can tell by whom or why.", what=what)
        since = tr(" since {local}", local=_local(self.at)) if self.at else ""
        why = f": {self.reason}" if self.reason else ""
        until = tr(" (until {local})", local=_local(self.until)) if self.until else ""
        return f"{what}{tr(' by {by}', by=self.by or '?')}{since}{why}{until}."

    def over(self, now: float) -> bool:
        """Tell whether its time has passed."""
        return not self.damaged and bool(self.until) and self.until <= now

    def error(self) -> HeldError:
        """Return the refusal of a deploy: who holds it, since when, why, until when, and how to go on."""
        if self.commit:
            advice = tr(
                "A newer commit can be deployed, and ends this hold. To deploy this one again: "
                "`govma-console release {commit}`, or `govma-console deploy --force`.",
                commit=self.commit[:9],
            )
        else:
            advice = tr("`govma-console release` ends the hold; `govma-console deploy --force` deploys in spite of it.")
        return HeldError(f"{self.sentence()} {advice}", self.until)


@dataclass(frozen=True, slots=True)
class Holds:
    """What is in force: the hold by hand, and those of commits, the latest first."""

    by_hand: Hold | None = None
    commits: tuple[Hold, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.all)

    @property
    def all(self) -> tuple[Hold, ...]:
        """Return all of them, that by hand first."""
        return ((self.by_hand,) if self.by_hand else ()) + self.commits

    def of(self, commit: str | None) -> Hold | None:
        """Return what holds a deploy of this commit (None: of one that is not known yet)."""
        holds = (hold for hold in self.commits if commit and hold.commit == commit)
        return self.by_hand or next(holds, None)

    def plain(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return {
            "by_hand": dataclasses.asdict(self.by_hand) if self.by_hand else None,
            "commits": [dataclasses.asdict(hold) for hold in self.commits],
        }


NO_HOLDS = Holds()


class HoldStore:
    """The holds of a site."""

    def __init__(self, state_dir: Path) -> None:
        self._files = SmallFiles(state_dir / "holds")

    def hold(self, reason: str, by: str, at: float, until: float = 0.0) -> Hold:
        """Hold all deploys, instead of an earlier hold by hand; on the disk when this returns."""
        return self._write(_ALL, Hold(reason=one_line(reason), by=by, at=at, until=until))

    def hold_commit(self, commit: str, version: str, reason: str, by: str, at: float, run: str) -> Hold | None:
        """Hold deploys of one commit; None for a text that is none."""
        if not _SHA.fullmatch(commit):
            return None
        return self._write(commit, Hold(commit, version, one_line(reason), by, at, run=run))

    def _write(self, name: str, hold: Hold) -> Hold:
        self._files.write(name, {key: value for key, value in dataclasses.asdict(hold).items() if key != "damaged"})
        return hold

    def release(self) -> list[Hold]:
        """End all holds, and give those that were in force; what is over is removed, too."""
        return self._release(list(self._files.read()))

    def release_commit(self, commit: str) -> list[Hold]:
        """End the hold of one commit (its whole sha), and give it."""
        return self._release([commit]) if _SHA.fullmatch(commit) else []

    def _release(self, names: list[str]) -> list[Hold]:
        in_force = self.read()
        released = [name for name in names if _is_hold(name) and self._files.remove(name)]
        return [hold for hold in in_force.all if (hold.commit or _ALL) in released]

    def read(self) -> Holds:
        """Return what is in force. In doubt it is held: a damaged file is a hold, so are some that cannot be read."""
        try:
            holds = [_hold(name, data) for name, data in self._files.read().items() if _is_hold(name)]
        except PermissionError:
            raise
        except OSError:
            return Holds(Hold(damaged=True))
        now = time.time()
        by_hand = next((hold for hold in holds if not hold.commit and not hold.over(now)), None)
        commits = [hold for hold in holds if hold.commit]
        return Holds(by_hand, tuple(sorted(commits, key=lambda hold: hold.at, reverse=True)))

    def check(self, commit: str | None = None) -> None:
        """Raise HeldError when deploys are held; those of `commit`, when that is known already."""
        hold = self.read().of(commit)
        if hold is not None:
            raise hold.error()


def _is_hold(name: str) -> bool:
    return name == _ALL or _SHA.fullmatch(name) is not None


def _hold(name: str, data: Mapping[str, Any]) -> Hold:
    texts = {field: text(data, field) for field in ("version", "reason", "by", "run")}
    at, until = moment(data, "at"), moment(data, "until")
    # A hold that was written has a moment; without one the file is cut short, or a person's.
    return Hold("" if name == _ALL else name, at=at, until=until, damaged=not at, **texts)


def _local(at: float) -> str:
    try:
        return datetime.fromtimestamp(at).astimezone().strftime(f"{date_format()} %H:%M")
    except (ValueError, OverflowError, OSError):
        return "?"
