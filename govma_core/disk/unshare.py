"""Files that are written in place get an inode of their own, so that a write stays in its version."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field

from govma_core.disk.compare import LeftAloneError, content_state, xattrs_of
from govma_core.errors import UnsafeTreeError
from govma_core.fs import leases, safefs, trees
from govma_core.fs.walk import Directories, join, walk
from govma_core.text.globs import globs, starts
from govma_core.text.language import tr

_TRIES = 5
_OPEN = 64
"""Directories that are held open at once: one after the other is gone through."""


@dataclass(slots=True)
class Unshared:
    """Files that have an inode of their own now, and the paths that still share one, each with the reason."""

    files: int = 0
    still_shared: dict[str, str] = field(default_factory=dict)


def shared_files(version_fd: int, patterns: Sequence[str]) -> dict[str, int]:
    """Return the paths of the files that fit and share their inode with another name, each with its inode's number."""
    # Asked first: almost nothing is shared, and then the name need not be compared.
    return {path: entry.inode() for path, entry in _fitting(version_fd, patterns, _is_shared)}


def fits_any(version_fd: int, pattern: str) -> bool:
    """Tell whether a file of an open version fits the pattern."""
    return any(_fitting(version_fd, [pattern], lambda entry: entry.is_file(follow_symlinks=False)))


def _fitting(
    version_fd: int, patterns: Sequence[str], is_candidate: Callable[[os.DirEntry[str]], bool]
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    fits = globs(patterns).fullmatch
    with closing(Directories([version_fd], _OPEN)) as directories:
        for start, levels in starts(patterns).items():
            for path, entries in walk(directories, start, levels=levels):
                for entry in entries:
                    if is_candidate(entry) and fits(full_path := join(path, entry.name)):
                        yield full_path, entry


def _is_shared(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_nlink > 1
    except FileNotFoundError:
        return False


def unshare(version_fd: int, patterns: Sequence[str], staging: Callable[[], int]) -> Unshared:
    """Give every file that fits an inode of its own: the same content, owner, mode, times and attributes.

    `staging` returns a private directory on the same file system, and is called only when there is something to do.
    What cannot be copied (no room, immutable) stays as it is and is named.
    """
    result = Unshared()
    shared = shared_files(version_fd, patterns)
    if shared:
        leases.ignore_breaks()
    for path in shared:
        *above, name = path.split("/")
        try:
            with safefs.opened(version_fd, *above) as directory:
                _give_own_inode(directory, name, staging())
            result.files += 1
        except (FileNotFoundError, UnsafeTreeError):
            # Gone, or another thing by now: no file that is shared.
            continue
        except LeftAloneError as error:
            result.still_shared[path] = tr(error.reason)
        except OSError as error:
            result.still_shared[path] = error.strerror or str(error)
    return result


def _give_own_inode(dir_fd: int, name: str, staging: int) -> None:
    staged = safefs.random_name("unshare")
    for _ in range(_TRIES):
        src, before = safefs.open_regular(dir_fd, name)
        try:
            lease = leases.take(src)
            if lease is False:
                raise OSError(errno.EBUSY, tr("somebody has it open for writing"))
            _copy(src, before, staging, staged)
            if not safefs.rename_exchange(staged, name, src_dir_fd=staging, dst_dir_fd=dir_fd):
                os.rename(staged, name, src_dir_fd=staging, dst_dir_fd=dir_fd)
                return
            taken_out = os.stat(staged, dir_fd=staging, follow_symlinks=False)
            if content_state(before) == content_state(taken_out) and (lease is None or leases.held(src)):
                return
            # It was written to, or another file was put there, while it was copied: the newest content counts.
            safefs.rename_exchange(staged, name, src_dir_fd=staging, dst_dir_fd=dir_fd)
        finally:
            os.close(src)
            with suppress(FileNotFoundError):
                os.unlink(staged, dir_fd=staging)
    raise OSError(errno.EBUSY, tr("it is being written again and again"))


def _copy(src: int, info: os.stat_result, staging: int, staged: str) -> None:
    dst = os.open(staged, safefs.CREATE_FLAGS, 0o600, dir_fd=staging)
    try:
        trees.copy_content(src, dst)
        if os.geteuid() == 0:
            os.fchown(dst, info.st_uid, info.st_gid)
        for attribute, value in xattrs_of(src).items():
            os.setxattr(dst, attribute, value)
        os.fchmod(dst, stat.S_IMODE(info.st_mode))
        os.utime(dst, ns=(info.st_atime_ns, info.st_mtime_ns))
    finally:
        os.close(dst)
