"""Marks: what is known against a version, one small file each in `<state_dir>/marks/`.

`failed`: it did not pass its rehearsal, and never was live. `bad`: it was live, and somebody (or a check) went back.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from govma_core.language import tr
from govma_core.versions.small_files import SmallFiles, moment, one_line, text

Kind = Literal["bad", "failed"]


@dataclass(frozen=True, slots=True)
class Mark:
    """What is known against a version, why ('' when it cannot be read), by whom, when (epoch seconds), in which run."""

    version: str
    kind: Kind = "bad"
    reason: str = ""
    by: str = ""
    at: float = 0.0
    run: str = ""

    def sentence(self) -> str:
        """Return it in a line: `marked bad by ana: rolled back to …`."""
        who = tr(" by {by}", by=self.by) if self.by else ""
        return (
            tr("marked {kind}{who}: {reason}", kind=tr(self.kind), who=who, reason=self.reason)
            if self.reason
            else tr("marked {kind}{who}", kind=tr(self.kind), who=who)
        )


class MarkStore:
    """The marks below `<state_dir>/marks/`; the names of their files are the versions'."""

    def __init__(self, state_dir: Path) -> None:
        self._files = SmallFiles(state_dir / "marks")

    def mark(self, version: str, kind: Kind, reason: str, by: str, at: float, run: str) -> Mark:
        """Mark a version, replacing an earlier mark of it; on the disk when this returns."""
        mark = Mark(version, kind, one_line(reason), by, at, run)
        self.put_back(mark)
        return mark

    def put_back(self, mark: Mark) -> None:
        """Write a mark as it was."""
        self._files.write(mark.version, dataclasses.asdict(mark))

    def clear(self, version: str) -> bool:
        """Take the mark of a version away; False when it had none."""
        return self._files.remove(version)

    def read(self) -> dict[str, Mark]:
        """Return all marks by version; a damaged file still speaks against the version that it is named after."""
        return {
            version: Mark(
                version,
                "failed" if data.get("kind") == "failed" else "bad",
                text(data, "reason"),
                text(data, "by"),
                moment(data, "at"),
                text(data, "run"),
            )
            for version, data in self._files.readable().items()
        }
