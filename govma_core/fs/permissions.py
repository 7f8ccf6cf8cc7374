"""Configured paths: which users can exchange what they lead to, and files opened so that none can meanwhile."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from govma_core.errors import UnsafeTreeError
from govma_core.fs import safefs
from govma_core.text.language import tr

_MOST_LINKS = 8
_MOST_LINKS_OF_A_PATH = 40
"""What the kernel follows (path_resolution(7))."""


def above(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the directories above a path, those that are there: as it is written, and those its links lead through."""
    for directory in sorted({*path.absolute().parents, *_passed(path)}):
        try:
            yield directory, directory.stat()
        except OSError:
            continue


def _passed(path: Path) -> Iterator[Path]:
    """Yield each directory in which a name is looked up on the way to where a path leads."""
    here, names, links = Path("/"), [*reversed(path.absolute().parts[1:])], 0
    while names and links <= _MOST_LINKS_OF_A_PATH:
        yield here
        name = names.pop()
        try:
            target = (here / name).readlink()
        except OSError:
            here = here.parent if name == ".." else here / name
            continue
        links += 1
        names += reversed(target.parts[1:] if target.is_absolute() else target.parts)
        here = Path("/") if target.is_absolute() else here


def can_write(info: os.stat_result, uid: int, gid: int) -> bool:
    """Tell whether a user can exchange names in a directory, or write a file, that belongs to others, too."""
    return info.st_uid == uid or _mode_lets(info, {gid})


def ours_alone(info: os.stat_result) -> bool:
    """Tell whether only root and this user can write it."""
    return info.st_uid in (0, os.geteuid()) and not _mode_lets(info, None)


def _mode_lets(info: os.stat_result, groups: set[int] | None) -> bool:
    """Tell whether the mode lets all users write, or one of the groups (None: any but root's)."""
    # With the sticky bit a user can rename and remove only what is his own.
    if stat.S_ISDIR(info.st_mode) and info.st_mode & stat.S_ISVTX:
        return False
    grouped = info.st_gid != 0 if groups is None else info.st_gid in groups
    return bool(info.st_mode & stat.S_IWOTH) or (grouped and bool(info.st_mode & stat.S_IWGRP))


def open_file(path: Path, links: int = _MOST_LINKS) -> tuple[int, os.stat_result]:
    """Open a configured file for reading, for the caller to close; what is to be known of it is in its stat.

    A link is followed where only root can have made it. UnsafeTreeError for any other, and for what is no regular
    file; a FIFO is not waited for. OSError when it cannot be opened.
    """
    try:
        fd = os.open(path, safefs.FILE_FLAGS)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise _odd(path) from None
        if error.errno != errno.ELOOP or not links:
            raise
        if path.lstat().st_uid not in (0, os.geteuid()) or not ours_alone(path.parent.stat()):
            raise UnsafeTreeError(
                "{path} is a link that users other than root can replace. Name the file itself.", path=path
            ) from None
        return open_file(path.parent / os.readlink(path), links - 1)
    info = os.fstat(fd)
    if not stat.S_ISREG(info.st_mode):
        os.close(fd)
        raise _odd(path)
    return fd, info


def sha256_of(path: Path) -> str:
    """Return the sha256 of a configured file; '' for one that this user cannot read."""
    # `list` asks this file for rights alone, and starts without OpenSSL.
    import hashlib

    try:
        fd, _ = open_file(path)
    except (OSError, UnsafeTreeError):
        return ""
    with os.fdopen(fd, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _odd(path: Path) -> UnsafeTreeError:
    return UnsafeTreeError("{path} is not a regular file.", path=path)


def cannot_write(name: str, path: Path) -> str:
    """Say of a directory, by the name of its setting, why nothing can be made in it; '' when something can."""
    if os.access(path, os.W_OK | os.X_OK):
        return ""
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        return tr(
            "{name} ({path}) is mounted read-only. Mount it for writing, then run it again.", name=name, path=path
        )
    return tr("{name} ({path}) cannot be written by this user. Run as root.", name=name, path=path)


def cannot_know(state_dir: Path) -> str:
    """Say why this user does not know what was written down in state_dir; '' when it does, or nothing was."""
    try:
        os.scandir(state_dir).close()
    except PermissionError:
        return tr(
            "state_dir ({state_dir}) cannot be read by this user: who deployed what, pins, marks, sizes and the "
            "history cannot be shown. Run as root, or as a member of log_group.",
            state_dir=state_dir,
        )
    except OSError:
        pass
    return ""
