"""Keeps the outputs of builds, and reuses them when nothing that went into them has changed.

An entry is a directory `<state_dir>/assets/<key>/`: the outputs as files named by their sha256, and `index.json` with
the path and mode of each and what the build removed. The key is a hash of the inputs' paths and content, the builder's
identity and the commands. Every file is verified before the first one is taken.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from govma_core.building.tree_snapshot import Changes
from govma_core.errors import GovmaError
from govma_core.fs import jsonfile, safefs, trees
from govma_core.text.language import tr

_FORMAT = "1"


class DamagedEntryError(GovmaError):
    """An entry of the cache does not hold what its index says."""


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """A recorded build: its key, the run that made it, and its outputs (path to sha256 and mode)."""

    key: str
    run: str
    files: dict[str, tuple[str, int]]
    removed: tuple[str, ...]


def cache_key(inputs: Iterable[str], identity: str, commands: Sequence[str]) -> str:
    """Return the key of a build: `inputs` are texts that name path, mode and content hash of each input file."""
    digest = hashlib.sha256()
    for part in (_FORMAT, identity, json.dumps(list(commands)), *sorted(inputs)):
        digest.update(os.fsencode(part) + b"\0")
    return digest.hexdigest()


class AssetCache:
    """The recorded builds of one site. The directory is the administrator's alone; calls need the lock."""

    def __init__(self, state_dir: Path, keep: int) -> None:
        self._directory = state_dir / "assets"
        self._keep = keep

    def find(self, key: str) -> CacheEntry | None:
        """Return the entry for a key, None without one. DamagedEntryError when it cannot be what was recorded."""
        index = jsonfile.read(self._directory / key / "index.json")
        if index is None:
            return None
        entry = _entry(key, index)
        for sha in {sha for sha, _ in entry.files.values()}:
            if _hash(self._directory / key / sha) != sha:
                raise DamagedEntryError(
                    tr("a file of the asset cache ({key}/{sha}) is damaged", key=key[:12], sha=sha[:12])
                )
        return entry

    def restore(self, entry: CacheEntry, data_fd: int) -> None:
        """Put the recorded outputs into a tree's `data` directory, over what is there."""
        directory = self._directory / entry.key
        for path in (*entry.removed, *entry.files):
            *parents, name = path.split("/")
            with safefs.opened(data_fd, *parents, make=True) as parent:
                trees.remove(parent, name)
                if path in entry.files:
                    sha, mode = entry.files[path]
                    _copy(directory / sha, parent, name, mode)
        os.utime(directory)

    def record(self, key: str, changes: Changes, data_fd: int, run: str) -> None:
        """Record what a build changed in `data`, replacing an entry of this key; the least used beyond `keep` go."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        staged = self._directory / safefs.random_name("new")
        staged.mkdir(mode=0o700)
        try:
            files = {path: _take(data_fd, path, staged) for path in changes.files}
            jsonfile.replace(staged / "index.json", {"run": run, "files": files, "removed": changes.removed})
            self.drop(key)
            staged.rename(self._directory / key)
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise
        self._prune()

    def drop(self, key: str) -> None:
        """Remove an entry."""
        shutil.rmtree(self._directory / key, ignore_errors=True)

    def _prune(self) -> None:
        paths = sorted(self._directory.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        entries = [path for path in paths if not path.name.startswith(".")]
        # Hidden ones are what a killed run was recording.
        for path in [*entries[self._keep :], *(path for path in paths if path not in entries)]:
            shutil.rmtree(path, ignore_errors=True)


def _entry(key: str, index: dict[str, Any]) -> CacheEntry:
    try:
        files = {path: (str(sha), int(mode)) for path, (sha, mode) in index["files"].items()}
        return CacheEntry(key, str(index["run"]), files, tuple(index["removed"]))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise DamagedEntryError(tr("the index of the asset cache's entry {key} is damaged", key=key[:12])) from None


def _take(data_fd: int, path: str, staged: Path) -> tuple[str, int]:
    """Copy an output into the entry; return its hash and permission bits."""
    *parents, name = path.split("/")
    with safefs.opened(data_fd, *parents) as parent:
        source, info = safefs.open_regular(parent, name)
    copy = staged / "copy"
    with os.fdopen(source, "rb") as file, copy.open("xb") as target:
        if info.st_nlink > 1:
            raise OSError(errno.EMLINK, tr("{path!r} has more names than one", path=path))
        trees.copy_content(file.fileno(), target.fileno())
    sha = _hash(copy)
    copy.rename(staged / sha)
    return sha, stat.S_IMODE(info.st_mode) & 0o777


def _copy(source: Path, parent: int, name: str, mode: int) -> None:
    with source.open("rb") as file:
        target = os.open(name, safefs.CREATE_FLAGS, 0o600, dir_fd=parent)
        try:
            trees.copy_content(file.fileno(), target)
            os.fchmod(target, mode)
        finally:
            os.close(target)


def _hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return ""
