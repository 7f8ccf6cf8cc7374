"""Several versions walked side by side: what has the same path in them, and is not one inode already."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from govma_core.disk.compare import Tally
from govma_core.fs import safefs
from govma_core.fs.walk import Directories, join
from govma_core.process.workers import MOST_PIECES

Listing = dict[str, int]
"""Names of the regular files of one directory, each with its inode's number."""


class Level(NamedTuple):
    """One relative directory in all roots: the files of each (empty where there is no such directory)."""

    path: str
    files: Sequence[Listing]


def walk(
    directories: Directories, names: Sequence[str], start: str, elsewhere: frozenset[str], tally: Tally
) -> Iterator[Level]:
    """Go through `start` and what is below it in every root, but not into the paths `elsewhere`.

    Special files are counted as left alone; `names` are those of the roots, for that.
    """
    pending = [start]
    while pending:
        path = pending.pop()
        files: list[Listing] = []
        below: set[str] = set()
        for root, version in enumerate(names):
            listing: Listing = {}
            files.append(listing)
            try:
                entries = os.scandir(directories.fd(root, path))
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError:
                tally.leave_alone("unreadable", f"{version}/{path}")
                continue
            with entries:
                for entry in entries:
                    if entry.is_file(follow_symlinks=False):
                        listing[entry.name] = entry.inode()
                    elif entry.is_dir(follow_symlinks=False):
                        below.add(entry.name)
                    elif not entry.is_symlink():
                        tally.leave_alone("special", f"{version}/{path}/{entry.name}")
            tally.files += len(listing)
        yield Level(path, files)
        children = (join(path, name) for name in sorted(below, reverse=True))
        pending += [child for child in children if child not in elsewhere]


def differing(files: Sequence[Listing]) -> set[str]:
    """Return the names that do not have one inode's number in all the listings that hold them."""
    filled = [listing for listing in files if listing]
    if not filled:
        return set()
    first_inodes = dict(filled[0])
    names: set[str] = set()
    for listing in filled[1:]:
        # Set differences of items run in C: where all is linked already, this is all there is to do.
        for name, inode in listing.items() - first_inodes.items():
            if first_inodes.setdefault(name, inode) != inode:
                names.add(name)
    return names


def subtrees(directories: Directories, roots: int, count: int, deepest: int = 4) -> list[str]:
    """Return relative paths that cut the trees into about `count` pieces to be shared among workers ('' is one)."""
    paths = [""]
    level = [""]
    for _ in range(deepest):
        below: set[str] = set()
        for path in level:
            for root in range(roots):
                with suppress(OSError):
                    entries = safefs.entries(directories.fd(root, path))
                    below.update(join(path, entry.name) for entry in entries if entry.is_dir(follow_symlinks=False))
        if not below or len(paths) + len(below) > MOST_PIECES:
            break
        level = sorted(below)
        paths += level
        if len(paths) >= count:
            break
    return paths
