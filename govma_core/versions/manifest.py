"""Manifests: the commit, the run and the inputs that a version was made of, out of reach of the web server."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from govma_core.fs import jsonfile


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The record of a version. Times are seconds since the epoch; hashes are sha256 in hex, never content."""

    version: str
    run: str
    commit: str
    subject: str
    author: str
    committed: float
    ref: str
    by: str
    origin: str
    started: float
    finished: float = 0.0
    ee_sha256: str = ""
    themes_sha256: str = ""
    env_sha256: str = ""
    builder: str = ""
    builder_id: str = ""
    assets: str = ""
    files: int = 0
    bytes: int = 0
    result: str = ""
    forced: str = ""
    """The hold against which the deploy was forced, as a sentence."""


_NAMES = frozenset(field.name for field in dataclasses.fields(Manifest))
_TEXTS = {field.name for field in dataclasses.fields(Manifest) if field.type == "str"}


class ManifestStore:
    """Manifests below `<state_dir>/versions/`, one file named after its version."""

    def __init__(self, state_dir: Path) -> None:
        self._directory = state_dir / "versions"

    def write(self, manifest: Manifest) -> None:
        """Write the manifest, replacing an earlier one of the same version."""
        self._directory.mkdir(exist_ok=True)
        jsonfile.replace(self._path(manifest.version), dataclasses.asdict(manifest))

    def discard(self, version: str) -> None:
        """Remove the manifest of a version, if it has one."""
        self._path(version).unlink(missing_ok=True)

    def read(self, version: str) -> Manifest | None:
        """Return the manifest of a version; None when there is none (deploy.sh made it) or it is damaged."""
        data = jsonfile.read(self._path(version))
        return _from(data) if data else None

    def _path(self, version: str) -> Path:
        return self._directory / f"{version}.json"


def _from(data: dict[str, Any]) -> Manifest | None:
    fields = {name: value for name, value in data.items() if name in _NAMES}
    right = all(isinstance(value, str if name in _TEXTS else int | float) for name, value in fields.items())
    try:
        return Manifest(**fields) if right else None
    except TypeError:
        return None
