"""Pins: versions that people want kept, one small file each in `<state_dir>/pins/`, so that two writers lose none."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from govma_core import jsonfile

_END = ".json"


@dataclass(frozen=True, slots=True)
class Pin:
    """Who wants a version kept, why ('' when not said), and since when (epoch seconds)."""

    version: str
    by: str = ""
    reason: str = ""
    at: float = 0.0

    def sentence(self) -> str:
        """Give it as the reason why a version is kept."""
        who = f" by {self.by}" if self.by else ""
        return f"pinned{who}: {self.reason}" if self.reason else f"pinned{who}"


class PinStore:
    """The pins below `<state_dir>/pins/`; the names of their files are the versions'."""

    def __init__(self, state_dir: Path) -> None:
        self._directory = state_dir / "pins"

    def pin(self, version: str, by: str, reason: str, at: float) -> Pin:
        """Pin a version, replacing an earlier pin of it; on the disk when this returns."""
        if not self._directory.is_dir():
            self._directory.mkdir(parents=True, exist_ok=True)
            # Whatever the caller's umask: what is pinned is for everybody to read.
            self._directory.chmod(0o755)
        pin = Pin(version, by, " ".join(reason.split()), at)
        jsonfile.replace(self._path(version), dataclasses.asdict(pin))
        return pin

    def unpin(self, version: str) -> bool:
        """Take the pin of a version away; False when it had none."""
        try:
            self._path(version).unlink()
        except FileNotFoundError:
            return False
        jsonfile.sync_directory(self._directory)
        return True

    def read(self) -> dict[str, Pin]:
        """Give all pins by version; a damaged file still pins the version that it is named after."""
        try:
            names = [path.name for path in self._directory.iterdir()]
        except (FileNotFoundError, PermissionError):
            return {}
        versions = sorted(name.removesuffix(_END) for name in names if name.endswith(_END) and name[0] != ".")
        return {version: _from(version, jsonfile.read(self._path(version)) or {}) for version in versions}

    def _path(self, version: str) -> Path:
        return self._directory / f"{version}{_END}"


_LATEST = 1 << 40


def _from(version: str, data: dict[str, Any]) -> Pin:
    by, reason, at = data.get("by"), data.get("reason"), data.get("at")
    return Pin(
        version,
        by if isinstance(by, str) else "",
        reason if isinstance(reason, str) else "",
        float(at) if isinstance(at, int | float) and abs(at) < _LATEST else 0.0,
    )
