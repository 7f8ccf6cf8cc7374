"""The work dir: emptied, lent to the build's user, taken back."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from govma_core.errors import BuildError
from govma_core.fs import claims, safefs, trees
from govma_core.reporting import Reporter
from govma_core.text.language import tr
from govma_core.versions.remove import warn_of_leftover

ROLE = "work-dir"
"""The name of its claim (see fs/claims.py)."""

_STAGING = re.compile(r"\.govma-(vendor|steps)-([0-9a-f]{8})-[0-9a-f]{16}")


def preflight(path: Path, state_dir: Path) -> list[str]:
    """Return a sentence when the work dir cannot be made, or holds what is no former build's and would be emptied."""
    if path.is_symlink():
        return [
            tr(
                "work_dir ({path}) is a link. It is emptied at each deploy: set GOV_MA_WORK_DIR to the real directory.",
                path=path,
            )
        ]
    if path.exists() and not path.is_dir():
        return [tr("work_dir ({path}) is a file. Move it away, or set GOV_MA_WORK_DIR.", path=path)]
    if path.is_dir() and os.geteuid() not in (0, path.stat().st_uid):
        return [
            tr(
                "work_dir ({path}) belongs to uid {st_uid}, from a run of that user. Run as that user, or remove it.",
                path=path,
                st_uid=path.stat().st_uid,
            )
        ]
    if path.is_dir() and not _ours(path, state_dir):
        return [
            tr(
                "work_dir ({path}) is emptied at each deploy, and what is in it does not look like a "
                "former build: {listdir}. Set GOV_MA_WORK_DIR to a directory of its own, or empty it.",
                path=path,
                listdir=", ".join(sorted(os.listdir(path))[:3]),
            )
        ]
    return []


def _ours(path: Path, state_dir: Path) -> bool:
    """Tell whether the directory is empty, was our work dir before, or holds a checkout or what is left of one."""
    if not os.listdir(path) or any((path / name).is_dir() for name in (".git", "data")):
        return True
    return claims.is_noted(path, state_dir, ROLE)


@contextmanager
def emptied(path: Path, state_dir: Path) -> Iterator[int]:
    """Yield the opened work dir, made if need be, empty, ours and closed to all other users.

    That it is ours is noted in state_dir: when we are killed in the middle of emptying it, the next run goes on.
    """
    with safefs.opened_root(path.parent) as parent:
        if not safefs.is_directory(parent, path.name):
            os.mkdir(path.name, 0o700, dir_fd=parent)
        claims.claim(path, state_dir, ROLE)
        with safefs.opened(parent, path.name) as fd:
            take_back(fd)
            for entry in safefs.entries(fd):
                trees.remove(fd, entry.name)
            yield fd


@contextmanager
def beside(path: Path, work_fd: int) -> Iterator[tuple[int, Path]]:
    """Yield the opened directory beside the work dir, and its path: names can be moved from there into the work dir.

    Where the work dir is mounted that is itself: it has another file system inside than beside it.
    """
    with safefs.opened_root(path.parent) as parent:
        is_one = os.fstat(parent).st_dev == os.fstat(work_fd).st_dev
        yield (parent, path.parent) if is_one else (work_fd, path)


def staging_name(kind: str, path: Path) -> str:
    """Return a random name for a directory that a deploy needs beside the work dir for a while.

    That work dir is told by the name: the work dirs of several sites may lie in one directory.
    """
    return safefs.random_name(f"govma-{kind}-{_id(path)}")


def is_staging(name: str) -> bool:
    """Tell whether a name is like one of these, of whichever work dir."""
    return _STAGING.fullmatch(name) is not None


def staging_kind(name: str, path: Path) -> str:
    """Return the kind of a name that was made for this work dir, '' for any other name."""
    match = _STAGING.fullmatch(name)
    return match[1] if match and match[2] == _id(path) else ""


def _id(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path.name)).hexdigest()[:8]


def remove_staging(path: Path, reporter: Reporter) -> None:
    """Remove what a killed run had beside the work dir, and warn of what resists. Only under the lock."""
    kinds = {
        "vendor": tr("vendor tarballs that an interrupted run was unpacking"),
        "steps": tr("what an interrupted run was building"),
    }
    with safefs.opened_root(path.parent) as parent:
        for entry in safefs.entries(parent):
            if kind := staging_kind(entry.name, path):
                left = trees.clear_marked(parent, entry.name)
                warn_of_leftover(reporter, path.parent / entry.name, kinds[kind], left)


def lend(work_fd: int, owner: tuple[int, int] | None) -> None:
    """Open the work dir to the build's user, from the moment everything is in it."""
    if owner is not None:
        os.fchown(work_fd, *owner)
    os.fchmod(work_fd, 0o755)


def take_back(work_fd: int) -> None:
    """Close the work dir to all other users: they do not enter it by name any more."""
    safefs.close_to_others(work_fd)


def require_parts(data_fd: int) -> None:
    """Raise BuildError when the build took away what a version cannot be without."""
    for name in ("html", "system"):
        if not safefs.is_directory(data_fd, name):
            raise BuildError(
                "The build left no directory data/{name}. Look at the build's commands and its log.", name=name
            )
