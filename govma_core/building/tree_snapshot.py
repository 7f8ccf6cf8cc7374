"""Finds what a build changed: compares a tree's files before and after by inode, size and change time.

A build cannot set the change time, so a file with its old mtime put back is still noticed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from govma_core.building.work_dir import is_staging
from govma_core.errors import BuildError
from govma_core.fs import safefs
from govma_core.fs.walk import join

DEEPEST = 100
"""Levels of directories that a version may have."""

_LARGE = 1 << 28
"""Bytes from which on a file may not be mostly holes."""

Snapshot = dict[str, tuple[int, int]]
"""The kind of each path, and a mark that any change changes."""


UNWATCHED = (".git", "node_modules")
"""Names at the top of a build's tree that are no files of the site: the repository's copy, and what is installed."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Paths relative to the tree: files and links added or changed, what is gone, and the modes of such folders."""

    files: tuple[str, ...]
    links: tuple[str, ...]
    folders: dict[str, int]
    removed: tuple[str, ...]


def take(tree_fd: int) -> Snapshot:
    """Return a mark for everything in the tree, by path."""
    return {path: _mark(info) for path, info in walk(tree_fd)}


def changes(before: Snapshot, tree_fd: int, builder: int | None = None) -> Changes:
    """Compare the tree with how it was. With the uid of the builder, BuildError for a new file of another user."""
    files: list[str] = []
    links: list[str] = []
    folders: dict[str, int] = {}
    removed = set(before)
    for path, info in walk(tree_fd):
        former, now = before.get(path), _mark(info)
        # What has become another kind of thing was removed, too.
        if former and former[0] == now[0]:
            removed.discard(path)
        if former == now:
            continue
        if stat.S_ISDIR(info.st_mode):
            folders[path] = stat.S_IMODE(info.st_mode) & 0o777
        elif stat.S_ISLNK(info.st_mode):
            links.append(path)
        else:
            if builder is not None:
                refuse_foreign(path, info, {builder})
            files.append(path)
    return Changes(tuple(sorted(files)), tuple(sorted(links)), folders, tuple(sorted(removed)))


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
    """Yield path and lstat of everything but UNWATCHED; BuildError for what cannot be part of a version."""
    refuse_deep(depth, folder)
    for entry in safefs.entries(tree_fd):
        path = join(folder, entry.name)
        if path in UNWATCHED or (not folder and is_staging(path)):
            continue
        if entry.is_dir(follow_symlinks=False):
            with safefs.opened(tree_fd, entry.name) as child:
                yield path, os.fstat(child)
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


def _mark(info: os.stat_result) -> tuple[int, int]:
    kind = stat.S_IFMT(info.st_mode)
    if kind == stat.S_IFDIR:
        return kind, info.st_mode
    return kind, hash((info.st_ino, info.st_size, info.st_ctime_ns, info.st_mode))
