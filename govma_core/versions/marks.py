"""Marks and pins: small JSON files in the state directory, each named after the version that it speaks of.

`marks/`: what is known against a version. `failed`: it did not pass its rehearsal, and never was live; `bad`: it was
live, and an operator (or a check) went back. `pins/`: which versions are never removed.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from govma_core.fs import jsonfile
from govma_core.text.language import tr

_SUFFIX = ".json"
_LATEST = 1 << 40


class SmallFiles:
    """The files of one directory, by name; who may enter the state directory may read them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def write(self, name: str, data: Mapping[str, Any]) -> None:
        """Write the file of a name, replacing an earlier one; on the disk when this returns."""
        if not self._directory.is_dir():
            self._directory.mkdir(exist_ok=True)
            # Whatever the caller's umask: all users may read what is said here.
            self._directory.chmod(0o755)
        jsonfile.replace(self._directory / f"{name}{_SUFFIX}", data)

    def remove(self, name: str) -> bool:
        """Remove the file of a name; False when there was none."""
        try:
            (self._directory / f"{name}{_SUFFIX}").unlink()
        except (FileNotFoundError, NotADirectoryError):
            return False
        jsonfile.sync_directory(self._directory)
        return True

    def read(self) -> dict[str, dict[str, Any]]:
        """Return the content of all files by name, in the order of names; a damaged file is there, and empty."""
        try:
            files = [path.name for path in self._directory.iterdir()]
        except FileNotFoundError:
            return {}
        names = sorted(name.removesuffix(_SUFFIX) for name in files if name.endswith(_SUFFIX) and name[0] != ".")
        contents = ((name, self._content(name)) for name in names)
        return {name: content for name, content in contents if content is not None}

    def readable(self) -> dict[str, dict[str, Any]]:
        """Return what read() gives, and nothing to a user who may not enter the state directory."""
        try:
            return self.read()
        except PermissionError:
            return {}

    def _content(self, name: str) -> dict[str, Any] | None:
        """Return the content of a file, {} when it is damaged, None when it was removed since it was listed."""
        try:
            data = json.loads((self._directory / f"{name}{_SUFFIX}").read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            return {}
        return data if isinstance(data, dict) else {}


def text(data: Mapping[str, Any], name: str) -> str:
    """Return a text of a file's content, '' when there is none."""
    value = data.get(name)
    return value if isinstance(value, str) else ""


def moment(data: Mapping[str, Any], name: str) -> float:
    """Return a time of a file's content (epoch seconds), 0 when there is none that makes sense."""
    value = data.get(name)
    return float(value) if isinstance(value, int | float) and abs(value) < _LATEST else 0.0


def one_line(reason: str) -> str:
    """Return a reason, as a person typed it, in one line."""
    return " ".join(reason.split())


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
        if not self.reason:
            return tr("marked {kind}{who}", kind=tr(self.kind), who=who)
        return tr("marked {kind}{who}: {reason}", kind=tr(self.kind), who=who, reason=self.reason)


class MarkStore:
    """The marks below `<state_dir>/marks/`; the names of their files are the versions'."""

    def __init__(self, state_dir: Path) -> None:
        self._files = SmallFiles(state_dir / "marks")

    def write(self, mark: Mark) -> None:
        """Mark a version, replacing an earlier mark of it; on the disk when this returns."""
        self._files.write(mark.version, dataclasses.asdict(mark) | {"reason": one_line(mark.reason)})

    def clear(self, version: str) -> bool:
        """Take the mark of a version away; False when it had none."""
        return self._files.remove(version)

    def read(self) -> dict[str, Mark]:
        """Return all marks by version; a damaged file still speaks against the version that it is named after."""
        return {version: _mark(version, data) for version, data in self._files.readable().items()}


def _mark(version: str, data: Mapping[str, Any]) -> Mark:
    kind: Kind = "failed" if data.get("kind") == "failed" else "bad"
    return Mark(version, kind, text(data, "reason"), text(data, "by"), moment(data, "at"), text(data, "run"))


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
