"""Making two equal files take their space once: by a link to one inode, or not at all when only counting."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple, Protocol

from govma_core.disk.compare import (
    Inode,
    LeftAloneError,
    OpenFile,
    Place,
    Reason,
    Tally,
    content_state,
    place_text,
)
from govma_core.fs import safefs
from govma_core.fs.walk import Directories


class MasterUnusableError(Exception):
    """Nothing more can be linked to the master: its link count is at its limit, it is gone, or `reason` tells."""

    def __init__(self, reason: Reason | None = None) -> None:
        super().__init__(reason)
        self.reason = reason


_KEPT_AT_ONCE = 4096
"""Replaced duplicates that are kept before they are removed together."""

_REMOVERS = 4


class _Replaced(NamedTuple):
    """A duplicate that was taken out: its name in the private directory, where it was, and what it was."""

    staged: str
    place: Place
    info: os.stat_result
    master: int


class Sharing(Protocol):
    """How equal files are made to share."""

    def share(self, inode: Inode, file: OpenFile, master: OpenFile, tally: Tally) -> None:
        """Have `inode`, opened as `file`, take no space of its own; count it. LeftAloneError, MasterUnusableError."""

    def finish(self, tally: Tally) -> None:
        """Do what was put off."""


class Counting:
    """Changes nothing: what a dry run works with."""

    def share(self, inode: Inode, file: OpenFile, master: OpenFile, tally: Tally) -> None:
        """Count what linking would come to."""
        tally.linked += len(inode.places)
        if inode.info.st_nlink == len(inode.places):
            tally.freed += inode.info.st_blocks * 512

    def finish(self, tally: Tally) -> None:
        """Do nothing."""


class HardLinks:
    """Replaces each name of a duplicate by a link to the master, which is made in a private directory first.

    The two are exchanged, so that the name never is missing, and what was taken out is looked at once more: when
    a process was about to write to it, or had put another file there, it is put back. What was taken out is kept for a
    while and looked at again before it is removed, many at a time in the order of their inodes: freed neighbours are
    one piece for the file system, which counts where it discards blocks.
    """

    def __init__(self, directories: Directories, versions: Sequence[str], staging: int) -> None:
        self._directories = directories
        self._versions = versions
        self._staging = staging
        self._names = map(str, itertools.count())
        self._replaced: list[_Replaced] = []
        self._removing: list[Future[None]] = []
        self._pool = ThreadPoolExecutor(_REMOVERS)

    def share(self, inode: Inode, file: OpenFile, master: OpenFile, tally: Tally) -> None:
        """Link every place of the inode to the master."""
        for place in inode.places:
            self._replace(place, file, master)
            tally.linked += 1
        if len(self._replaced) >= _KEPT_AT_ONCE:
            self._clear(tally)

    def finish(self, tally: Tally) -> None:
        """Remove all that was taken out; on return it is gone."""
        self._clear(tally)
        self._wait()

    def _clear(self, tally: Tally) -> None:
        """Have removed what was taken out, but put back what was written to since."""
        self._replaced.sort(key=_inode_of)
        names = []
        for _, names_of_inode in itertools.groupby(self._replaced, key=_inode_of):
            removed = 0
            for replaced in names_of_inode:
                now = os.stat(replaced.staged, dir_fd=self._staging, follow_symlinks=False)
                if content_state(now) == content_state(replaced.info) or not self._put_back(replaced, tally):
                    names.append(replaced.staged)
                    removed += 1
            tally.count_removed(now, removed)
        self._replaced.clear()
        self._remove(names)

    def _remove(self, names: list[str]) -> None:
        """Remove them while the work goes on, when those before are gone."""
        self._wait()
        # A file system that discards freed blocks at once has each removal wait for the device: let several wait.
        shares = (names[start::_REMOVERS] for start in range(_REMOVERS))
        self._removing = [self._pool.submit(self._remove_each, share) for share in shares]

    def _wait(self) -> None:
        for future in self._removing:
            future.result()
        self._removing = []

    def _remove_each(self, names: Sequence[str]) -> None:
        for name in names:
            os.unlink(name, dir_fd=self._staging)

    def _put_back(self, replaced: _Replaced, tally: Tally) -> bool:
        root, path, name = replaced.place
        try:
            directory = self._directories.fd(root, path)
            if os.stat(name, dir_fd=directory, follow_symlinks=False).st_ino != replaced.master:
                return False
            os.rename(replaced.staged, name, src_dir_fd=self._staging, dst_dir_fd=directory)
        except (FileNotFoundError, NotADirectoryError):
            return False
        tally.linked -= 1
        tally.leave_alone("being written", place_text(self._versions, replaced.place))
        return True

    def _replace(self, place: Place, file: OpenFile, master: OpenFile) -> None:
        root, path, name = place
        staged = next(self._names)
        self._link(master, staged)
        try:
            if file.lease is None:
                # Whether a process writes to it cannot be known for sure.
                raise LeftAloneError("without a lease")
            if not master.quiet():
                raise MasterUnusableError("being written")
            if not file.quiet():
                raise LeftAloneError("being written")
            self._exchange(staged, self._directories.fd(root, path), name, file, master)
        except BaseException as error:
            # A directory when it was exchanged meanwhile: the sweep takes that.
            with suppress(FileNotFoundError, IsADirectoryError):
                os.unlink(staged, dir_fd=self._staging)
            if isinstance(error, OSError):
                raise _meaning(error) from error
            raise
        self._replaced.append(_Replaced(staged, place, file.info, master.info.st_ino))

    def _link(self, master: OpenFile, staged: str) -> None:
        try:
            # By the descriptor: whatever has the master's name by now, it is the inode that was compared.
            os.link(f"/proc/self/fd/{master.fd}", staged, dst_dir_fd=self._staging, follow_symlinks=True)
        except OSError as error:
            if error.errno in (errno.EMLINK, errno.ENOENT):
                raise MasterUnusableError from None
            if error.errno in (errno.EPERM, errno.EACCES):
                raise MasterUnusableError("immutable") from None
            raise _meaning(error) from error

    def _exchange(self, staged: str, directory: int, name: str, file: OpenFile, master: OpenFile) -> None:
        if not safefs.rename_exchange(staged, name, src_dir_fd=self._staging, dst_dir_fd=directory):
            # A file system that cannot exchange: look, and keep the duplicate by a link of its own.
            os.unlink(staged, dir_fd=self._staging)
            os.link(f"/proc/self/fd/{file.fd}", staged, dst_dir_fd=self._staging, follow_symlinks=True)
            self._link(master, f"{staged}m")
            if content_state(os.stat(name, dir_fd=directory, follow_symlinks=False)) != content_state(file.info):
                os.unlink(f"{staged}m", dir_fd=self._staging)
                raise LeftAloneError("changed meanwhile")
            os.rename(f"{staged}m", name, src_dir_fd=self._staging, dst_dir_fd=directory)
            return
        taken_out = os.stat(staged, dir_fd=self._staging, follow_symlinks=False)
        if file.still(taken_out):
            return
        # Put it back; and when a third file was put there in between, that one is the newest and stays.
        safefs.rename_exchange(staged, name, src_dir_fd=self._staging, dst_dir_fd=directory)
        if os.stat(staged, dir_fd=self._staging, follow_symlinks=False).st_ino != master.info.st_ino:
            safefs.rename_exchange(staged, name, src_dir_fd=self._staging, dst_dir_fd=directory)
        raise LeftAloneError("changed meanwhile")


def _inode_of(replaced: _Replaced) -> int:
    return replaced.info.st_ino


def _meaning(error: OSError) -> Exception:
    """Return what an error about one file means; the error itself when it is about more."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return LeftAloneError("changed meanwhile")
    if error.errno in (errno.EPERM, errno.EACCES):
        return LeftAloneError("immutable")
    if error.errno in (errno.EXDEV, errno.EBUSY):
        return LeftAloneError("on another file system")
    return error
