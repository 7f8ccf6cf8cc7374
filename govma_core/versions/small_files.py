"""One small JSON file a name in a directory of the state directory, so that two writers lose nothing of each other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from govma_core import jsonfile

_END = ".json"
_LATEST = 1 << 40


class SmallFiles:
    """The files of one directory; who may enter the state directory may read them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def write(self, name: str, data: Mapping[str, Any]) -> None:
        """Write the file of a name, replacing an earlier one; on the disk when this returns."""
        if not self.directory.is_dir():
            self.directory.mkdir(exist_ok=True)
            # Whatever the caller's umask: what is said here is for everybody to read.
            self.directory.chmod(0o755)
        jsonfile.replace(self.directory / f"{name}{_END}", data)

    def remove(self, name: str) -> bool:
        """Remove the file of a name; False when there was none."""
        try:
            (self.directory / f"{name}{_END}").unlink()
        except (FileNotFoundError, NotADirectoryError):
            return False
        jsonfile.sync_directory(self.directory)
        return True

    def readable(self) -> dict[str, dict[str, Any]]:
        """Return what read() gives, and nothing to who may not enter the state directory."""
        try:
            return self.read()
        except PermissionError:
            return {}

    def read(self) -> dict[str, dict[str, Any]]:
        """Return the content of all files by name, in the order of names; a damaged file is there, and empty."""
        try:
            found = [path.name for path in self.directory.iterdir()]
        except FileNotFoundError:
            return {}
        names = sorted(name.removesuffix(_END) for name in found if name.endswith(_END) and name[0] != ".")
        contents = ((name, self._content(name)) for name in names)
        return {name: content for name, content in contents if content is not None}

    def _content(self, name: str) -> dict[str, Any] | None:
        """Return the content of a file, {} when it is damaged, None when it was removed since it was listed."""
        try:
            data = json.loads((self.directory / f"{name}{_END}").read_bytes())
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


def one_line(said: str) -> str:
    """Return what somebody typed as one line."""
    return " ".join(said.split())
