"""Keeps what the steps of builds made, and gives it again where a step would read the same.

An entry is a directory of `<state_dir>/assets`: the outputs as files named by their sha256, and `index.json` with the
step's key, its inputs, and path and mode of each output. The key is a hash of all that is known before: the command,
the builder, what is installed. Every file is verified before the first one is taken.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from govma_core.building.inputs import Inputs
from govma_core.building.outputs import Open, Outputs
from govma_core.building.tree_files import TreeFiles
from govma_core.errors import GovmaError
from govma_core.fs import jsonfile, safefs, trees
from govma_core.text.language import tr

_FORMAT = 2
_NAME = re.compile(r"v2-[0-9a-f]{16}")


class DamagedEntryError(GovmaError):
    """An entry of the cache does not hold what its index says."""


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """A recorded step: the run that recorded it, what it read and what it made; `note` is its caller's."""

    directory: Path
    key: str
    run: str
    inputs: Inputs
    outputs: Outputs
    note: str

    def open(self, path: str) -> int:
        """Open the content of one of the output files."""
        return os.open(self.directory / self.outputs.files[path][0], os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)


def step_key(*parts: str) -> str:
    """Return the key of a step: a hash of all that decides what it makes, beside its inputs."""
    return hashlib.sha256(json.dumps([_FORMAT, *parts]).encode("utf-8", "surrogateescape")).hexdigest()


class AssetCache:
    """The recorded steps of one site. The directory is the administrator's alone; calls need the lock."""

    def __init__(self, state_dir: Path, keep: int) -> None:
        self._directory = state_dir / "assets"
        self._keep = keep
        self._in_use = set[Path]()

    def entries(self, key: str) -> list[CacheEntry]:
        """Return the entries of a key, that which was used last first."""
        entries = []
        for directory in self._directories():
            with suppress(OSError):
                entry = _read(directory)
                entries += [entry] if entry and entry.key == key else []
        return entries

    def drop_damaged(self) -> list[str]:
        """Remove the entries whose index is not one; return their names."""
        damaged = []
        for directory in self._directories():
            # One that cannot be read now may be whole.
            with suppress(OSError):
                if _read(directory) is None:
                    shutil.rmtree(directory)
                    damaged.append(directory.name)
        return damaged

    def verify(self, entry: CacheEntry) -> None:
        """Raise DamagedEntryError when a file of the entry is not what was recorded; otherwise it counts as used."""
        for sha in {sha for sha, _ in entry.outputs.files.values()}:
            if _hash(entry.directory / sha) != sha:
                raise DamagedEntryError(
                    tr(
                        "a file of the asset cache ({entry}/{sha}) is damaged",
                        entry=entry.directory.name,
                        sha=sha[:12],
                    )
                )
        self._in_use.add(entry.directory)
        with suppress(OSError):
            os.utime(entry.directory)

    def record(
        self, key: str, run: str, inputs: Inputs, outputs: Outputs, open_file: Open, tree: TreeFiles, note: str = ""
    ) -> None:
        """Record a step, in the place of one with inputs like the tree's; the least used beyond `keep` go.

        Those that were verified stay: their files may still be taken.
        """
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        staged = self._directory / safefs.random_name("new")
        staged.mkdir(mode=0o700)
        try:
            for path, (sha, _) in outputs.files.items():
                _copy(open_file(path), staged / sha)
            about = {"format": _FORMAT, "key": key, "run": run, "note": note, "inputs": inputs.to_plain()}
            jsonfile.replace(staged / "index.json", about | {"outputs": outputs.to_plain()})
            for entry in self.entries(key):
                if entry.directory not in self._in_use and not entry.inputs.changed(tree):
                    self.drop(entry)
            staged.rename(self._directory / f"v{_FORMAT}-{os.urandom(8).hex()}")
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise
        entries = self._directories()
        # Others are of an older format, or what a killed run was recording.
        for directory in {*self._directory.iterdir()}.difference(entries[: self._keep], self._in_use):
            shutil.rmtree(directory, ignore_errors=True)

    def drop(self, entry: CacheEntry) -> None:
        """Remove an entry."""
        shutil.rmtree(entry.directory, ignore_errors=True)

    def _directories(self) -> list[Path]:
        """Return the directories of the entries, that which was used last first."""
        try:
            paths = [path for path in self._directory.iterdir() if _NAME.fullmatch(path.name)]
        except FileNotFoundError:
            return []
        return sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True)


def _read(directory: Path) -> CacheEntry | None:
    """Read the index of an entry; None when that is damaged, OSError when it cannot be read."""
    try:
        index: dict[str, Any] = jsonfile.read(directory / "index.json") or {}
        inputs, outputs = Inputs.from_plain(index["inputs"]), Outputs.from_plain(index["outputs"])
        return CacheEntry(directory, str(index["key"]), str(index["run"]), inputs, outputs, str(index["note"]))
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _copy(source: int, target: Path) -> None:
    with os.fdopen(source, "rb") as file, target.open("wb") as copy:
        # No more than there is: a process of the build's user may have it open, and go on.
        trees.copy_content(file.fileno(), copy.fileno(), os.fstat(file.fileno()).st_size)


def _hash(path: Path) -> str:
    """Return the sha256 of a file; '' when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
