"""Finds what a build changed: compares a tree's files before and after by inode, size and change time.

A build cannot set the change time, so a file with its old mtime put back is still noticed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from govma_core.errors import BuildError
from govma_core.fs import safefs

DEEPEST = 100
"""Levels of directories that a version may have."""

_LARGE = 1 << 28
"""Bytes from which on a file may not be mostly holes."""

Snapshot = dict[str, int]


@dataclass(frozen=True, slots=True)
class Changes:
    """Paths relative to the tree: files added or changed, paths that are gone, links (hard ones, too) that are new."""

    files: tuple[str, ...]
    removed: tuple[str, ...]
    links: tuple[str, ...]


def take(tree_fd: int) -> Snapshot:
    """Return a mark for every file and link of the tree, by path."""
    return {path: _mark(info) for path, info in walk(tree_fd)}


def changes(before: Snapshot, tree_fd: int, builder: int | None = None) -> Changes:
    """Compare the tree with how it was. With the uid of the builder, BuildError for a new file of another user."""
    files: list[str] = []
    links: list[str] = []
    paths: set[str] = set()
    for path, info in walk(tree_fd):
        paths.add(path)
        if before.get(path) != _mark(info):
            if builder is not None and stat.S_ISREG(info.st_mode):
                refuse_foreign(path, info, {builder})
            # A second name could be that of any file of the machine: deploy/ownership judges it.
            (links if stat.S_ISLNK(info.st_mode) or info.st_nlink > 1 else files).append(path)
    return Changes(tuple(sorted(files)), tuple(sorted(before.keys() - paths)), tuple(sorted(links)))


def refuse_foreign(path: str, info: os.stat_result, owners: set[int]) -> None:
    """Raise BuildError for a file that belongs to none of `owners`.

    A user who may write a directory can rename another's file out of it into the tree, one that only root can read.
    """
    if info.st_uid not in owners:
        raise BuildError(
            "The build left {path!r}, a file of uid {st_uid} that it cannot have made; it is not published.",
            path=path,
            st_uid=info.st_uid,
        )


def refuse_deep(depth: int, folder: str) -> None:
    """Raise BuildError for a directory that is nested too deep."""
    if depth > DEEPEST:
        raise BuildError(
            "The build left directories more than {deepest} levels deep ({shown}…).",
            deepest=DEEPEST,
            shown=folder[:200],
        )


def walk(tree_fd: int, folder: str = "", depth: int = 0) -> Iterator[tuple[str, os.stat_result]]:
    """Yield path and lstat of every file and link; BuildError for what cannot be part of a version."""
    refuse_deep(depth, folder)
    for entry in safefs.entries(tree_fd):
        path = f"{folder}/{entry.name}" if folder else entry.name
        if entry.is_dir(follow_symlinks=False):
            with safefs.opened(tree_fd, entry.name) as child:
                yield from walk(child, path, depth + 1)
            continue
        info = entry.stat(follow_symlinks=False)
        if not (stat.S_ISREG(info.st_mode) or stat.S_ISLNK(info.st_mode)):
            raise BuildError("The build left {path!r}, which is neither a file, a directory nor a link.", path=path)
        refuse_sparse(path, info)
        yield path, info


def refuse_sparse(path: str, info: os.stat_result) -> None:
    """Raise BuildError for a large file that is mostly holes: to read it would take for ever, to copy it all room."""
    if info.st_size > _LARGE and info.st_blocks * 512 < info.st_size // 2:
        raise BuildError(
            "The build left {path!r}, {st_size} bytes long with next to nothing in it.",
            path=path,
            st_size=info.st_size,
        )


def _mark(info: os.stat_result) -> int:
    return hash((info.st_ino, info.st_size, info.st_ctime_ns, info.st_mode))
