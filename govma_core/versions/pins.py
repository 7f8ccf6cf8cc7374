"""Pins: versions that people want kept, one small file each in `<state_dir>/pins/`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from govma_core.language import tr
from govma_core.versions.small_files import SmallFiles, moment, one_line, text


@dataclass(frozen=True, slots=True)
class Pin:
    """Who wants a version kept, why ('' when not said), and since when (epoch seconds)."""

    version: str
    by: str = ""
    reason: str = ""
    at: float = 0.0

    def sentence(self) -> str:
        """Return it as the reason why a version is kept."""
        who = tr(" by {by}", by=self.by) if self.by else ""
        return tr("pinned{who}: {reason}", who=who, reason=self.reason) if self.reason else tr("pinned{who}", who=who)


class PinStore:
    """The pins below `<state_dir>/pins/`; the names of their files are the versions'."""

    def __init__(self, state_dir: Path) -> None:
        self._files = SmallFiles(state_dir / "pins")

    def pin(self, version: str, by: str, reason: str | None, at: float) -> Pin:
        """Pin a version, replacing an earlier pin of it, whose reason stays if None is given; on the disk after it."""
        if reason is None:
            earlier = self.read().get(version)
            reason = earlier.reason if earlier else ""
        pin = Pin(version, by, one_line(reason), at)
        self._files.write(version, dataclasses.asdict(pin))
        return pin

    def unpin(self, version: str) -> bool:
        """Take the pin of a version away; False when it had none."""
        return self._files.remove(version)

    def read(self) -> dict[str, Pin]:
        """Return all pins by version; a damaged file still pins the version that it is named after."""
        return {
            version: Pin(version, text(data, "by"), text(data, "reason"), moment(data, "at"))
            for version, data in self._files.readable().items()
        }
