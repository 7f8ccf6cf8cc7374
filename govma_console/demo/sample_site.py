"""A sample site in a folder: its paths, and the marker that lets it be opened and removed."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from govma_core.errors import RefusedError

_MARKER = ".govma-sample.json"
_KIND = "govma-console sample site"


@dataclass(frozen=True, slots=True)
class SampleSite:
    """The folder of a sample site; the paths in it, all absolute."""

    root: Path
    config_file: Path
    """The settings, which name all other parts; written last, when the site is complete."""
    state_dir: Path
    remote: Path
    """The bare repository, the `origin` of both clones."""
    developer: Path
    """A clone to make commits in."""

    @classmethod
    def at(cls, root: Path) -> Self:
        """Return the paths of a sample site in that folder, whether or not there is one."""
        root = root.resolve()
        return cls(root, root / "govma-console.toml", root / "state", root / "remote.git", root / "developer")


def write_marker(root: Path) -> None:
    """Mark the folder as a sample site, so that remove_sample may remove it; the first thing in a new one."""
    (root / _MARKER).write_text(json.dumps({"kind": _KIND, "root": str(root)}) + "\n", encoding="utf-8")


def open_sample(root: Path) -> SampleSite:
    """Return the sample site in the folder; RefusedError when there is none, or only half of one."""
    site = SampleSite.at(root)
    _check_marker(site.root)
    if not site.config_file.is_file():
        raise RefusedError(
            "{root} holds a sample site that was not finished: remove it (demo --remove {root}).", root=site.root
        )
    return site


def remove_sample(root: Path) -> None:
    """Remove the folder and all in it; RefusedError when create_sample did not make it right there."""
    if root.is_symlink():
        raise RefusedError("{root} is a link, not the folder of a sample site; nothing was removed.", root=root)
    root = root.resolve()
    _check_marker(root)
    for path in root.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != _MARKER:
            path.unlink()
    # The marker goes last, so that an interrupted removal can be repeated.
    (root / _MARKER).unlink()
    root.rmdir()


def _check_marker(root: Path) -> None:
    """Raise RefusedError when the folder is no sample site of this user."""
    marker = root / _MARKER
    try:
        states = [path.lstat() for path in (root, marker)]
        # The settings in there are obeyed, perhaps by root: no other user may have written them.
        is_ours = not marker.is_symlink() and all(
            state.st_uid == os.geteuid() and not state.st_mode & 0o022 for state in states
        )
        content = json.loads(marker.read_text(encoding="utf-8")) if is_ours else None
    except (OSError, ValueError):
        content = None
    # The path is part of the marker: a copy of a sample site, marker included, may by now hold somebody's work.
    if content != {"kind": _KIND, "root": str(root)}:
        raise RefusedError(
            "{root} does not hold a sample site made there by this program; nothing was changed.", root=root
        )
