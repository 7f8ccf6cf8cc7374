"""The order in which names and contents come to the disk: what a power cut could leave of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from govma_core.fs import safefs
from govma_core.settings import Settings

_PASSING = ("usage.json", "totals.json", "holder.json")
"""Records that are made anew after a power cut, or need not be there."""


@dataclass(frozen=True, slots=True)
class Call:
    """`fsync` or `syncfs` of a path, `name`: the path's new name for what was `source`, or `unlink` of a path.

    `state` tells the content at that moment, `device` the file system; None and 0 where they are not known.
    """

    kind: str
    path: Path
    source: Path | None = None
    state: tuple[int, int] | None = None
    device: int = 0

    def covers(self, call: Call) -> bool:
        """Tell whether this put on the disk what the other call gives a name, as it is then."""
        if self.kind == "syncfs":
            return self.device == call.device
        return self.kind == "fsync" and self.path == call.source and self.state in (None, call.state)


def is_official(path: Path, settings: Settings) -> bool:
    """Tell whether a path is a version, the link, or a record of the state but for those of runs."""
    if path.name.startswith(".") or path.name in _PASSING:
        return False
    inside = path.relative_to(settings.state_dir).parts if path.is_relative_to(settings.state_dir) else ("assets",)
    return path.parent == settings.versions_dir or inside[0] not in ("assets", "runs")


def unsafe(calls: Sequence[Call], official: Callable[[Path], bool]) -> tuple[list[str], list[str]]:
    """Return the official names that were given, and a sentence for each that a power cut could take or leave empty.

    The call before has to sync what gets the name, as it is then; the one after, the directory of the name. Removals
    between them do not matter.
    """
    names, problems = [], []
    calls = [call for call in calls if call.kind != "unlink"]
    for number, call in enumerate(calls):
        if call.kind != "name" or not official(call.path):
            continue
        names.append(call.path.name)
        before = calls[number - 1] if number else None
        after = calls[number + 1] if number + 1 < len(calls) else None
        if before is None or not before.covers(call):
            problems.append(f"{call.path}: what it names is not synced just before")
        if after is None or (after.kind, after.path) != ("fsync", call.path.parent):
            problems.append(f"{call.path}: its directory is not synced just after")
    return names, problems


class Journal:
    """Takes down the calls of this process from now on; each does its work."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[Call] = []
        for name in ("rename", "replace", "link"):
            monkeypatch.setattr(os, name, self._naming(getattr(os, name)))
        fsync, syncfs, renameat2, unlink = os.fsync, safefs.syncfs, safefs._renameat2, os.unlink

        def synced(fd: int) -> None:
            fsync(fd)
            info = os.fstat(fd)
            self._add("fsync", _path_of(fd), state=(info.st_size, info.st_mtime_ns))

        def all_synced(fd: int) -> None:
            syncfs(fd)
            self._add("syncfs", _path_of(fd), device=os.fstat(fd).st_dev)

        def renamed(src: str, dst: str, src_dir_fd: int, dst_dir_fd: int, flags: int) -> None:
            renameat2(src, dst, src_dir_fd, dst_dir_fd, flags)
            self._named(_path_of(dst_dir_fd) / dst, _path_of(src_dir_fd) / src)

        def unlinked(path: Any, *, dir_fd: int | None = None) -> None:
            unlink(path, dir_fd=dir_fd)
            self._add("unlink", Path(path) if dir_fd is None else _path_of(dir_fd) / path)

        monkeypatch.setattr(os, "fsync", synced)
        monkeypatch.setattr(os, "unlink", unlinked)
        monkeypatch.setattr(safefs, "syncfs", all_synced)
        monkeypatch.setattr(safefs, "_renameat2", renamed)

    def unsafe(self, official: Callable[[Path], bool]) -> tuple[list[str], list[str]]:
        """Return what the function of this name tells about the calls so far."""
        return unsafe(self.calls, official)

    def _add(self, kind: str, path: Path, **more: Any) -> None:
        self.calls.append(Call(kind, path, **more))

    def _named(self, path: Path, source: Path) -> None:
        info = path.lstat()
        self._add("name", path, source=source, state=(info.st_size, info.st_mtime_ns), device=info.st_dev)

    def _naming(self, call: Callable[..., None]) -> Callable[..., None]:
        def naming(src: Any, dst: Any, *, src_dir_fd: Any = None, dst_dir_fd: Any = None, **more: Any) -> None:
            call(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd, **more)
            source, path = (
                Path(name) if fd is None else _path_of(fd) / name for name, fd in ((src, src_dir_fd), (dst, dst_dir_fd))
            )
            self._named(path, source)

        return naming


def _path_of(fd: int) -> Path:
    return Path(os.readlink(f"/proc/self/fd/{fd}"))
