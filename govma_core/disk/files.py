"""One file of a tree, opened to be compared: what it must have in common with another to share its inode."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from contextlib import suppress

from govma_core.disk import leases
from govma_core.disk.directories import Directories
from govma_core.disk.tally import Reason

Place = tuple[int, str, str]
"""Where a name is: number of the root, path of its directory below that, the name."""


def shown(versions: Sequence[str], place: Place) -> str:
    """Return a place as reports show it: version, path, name."""
    root, path, name = place
    return "/".join(part for part in (versions[root], path, name) if part)


HELD = 256 * 1024
"""Bytes of content that are held in memory; larger files are compared block by block."""
_BLOCK = 1 << 20
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.ESTALE})
"""What opening a name says that vanished, or became another kind of thing, meanwhile."""


class LeftAloneError(Exception):
    """The file stays as it is."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


class Inode:
    """An inode under some of its names. `fixed` ones are in the current version: nothing replaces them."""

    __slots__ = ("fixed", "info", "places")

    def __init__(self, info: os.stat_result, places: list[Place], *, fixed: bool) -> None:
        self.info = info
        self.places = places
        self.fixed = fixed


class OpenFile:
    """The inode opened for reading, under a lease where leases can be had."""

    __slots__ = ("_content", "_xattrs", "fd", "info", "lease", "place")

    def __init__(self, directories: Directories, inode: Inode) -> None:
        """Open it by its first name; LeftAloneError when it is not what it was, or is being written."""
        self.place = root, path, name = inode.places[0]
        self.fd = _open(directories, root, path, name)
        try:
            self.info = os.fstat(self.fd)
            if self.info.st_ino != inode.info.st_ino or traits(self.info) != traits(inode.info):
                raise LeftAloneError("changed meanwhile")
            self.lease = leases.take(self.fd)
            if self.lease is False:
                raise LeftAloneError("being written")
            if self.info.st_blocks * 512 < self.info.st_size and _has_hole(self.fd, self.info.st_size):
                raise LeftAloneError("sparse")
        except BaseException:
            os.close(self.fd)
            raise
        self._content: bytes | None = None
        self._xattrs: dict[str, bytes] | None = None

    def close(self) -> None:
        """Close it; a writer who waits goes on."""
        os.close(self.fd)

    def quiet(self) -> bool:
        """Tell whether nobody has written to it, or waits to, since it was opened here."""
        if self.lease:
            return leases.held(self.fd)
        now = os.fstat(self.fd)
        return (now.st_mtime_ns, now.st_size) == (self.info.st_mtime_ns, self.info.st_size)

    def still(self, info: os.stat_result) -> bool:
        """Tell whether this is what was opened, with the same rights and attributes, and nobody writes to it."""
        return (
            content_state(info) == content_state(self.info)
            and traits(info) == traits(self.info)
            and self.quiet()
            and xattrs_of(self.fd) == self.xattrs()
        )

    def equals(self, other: OpenFile) -> bool:
        """Compare content and extended attributes; the traits are the same already."""
        small = self.info.st_size <= HELD
        return self.equals_open(other.fd, other.content() if small else None) and self.xattrs() == other.xattrs()

    def equals_open(self, fd: int, content: bytes | None) -> bool:
        """Compare with the content of a file of the same size: `content`, or what is read from `fd` when it is None."""
        if content is not None:
            return self.content() == content
        offset = 0
        while offset < self.info.st_size:
            block = os.pread(self.fd, _BLOCK, offset)
            if not block or block != os.pread(fd, _BLOCK, offset):
                return False
            offset += len(block)
        return True

    def content(self) -> bytes:
        """Return what is in it, held from now on; for files up to HELD only."""
        if self._content is None:
            self._content = os.pread(self.fd, self.info.st_size + 1, 0)
        return self._content

    def xattrs(self) -> dict[str, bytes]:
        """Return its extended attributes (ACLs, capabilities and labels are among them)."""
        if self._xattrs is None:
            self._xattrs = xattrs_of(self.fd)
        return self._xattrs


def traits(info: os.stat_result) -> tuple[int, int, int, int, int]:
    """Return what two files must have in common before their content is looked at."""
    return info.st_dev, info.st_size, info.st_mode, info.st_uid, info.st_gid


def content_state(info: os.stat_result) -> tuple[int, ...]:
    """Return what changes when an inode is another one, or is written to. Its change time is not: links change it."""
    return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns


def _open(directories: Directories, root: int, path: str, name: str) -> int:
    try:
        dir_fd = directories.fd(root, path)
        with suppress(PermissionError):
            # Reading a whole tree must not write an access time into each of its inodes.
            return os.open(name, _FLAGS | os.O_NOATIME, dir_fd=dir_fd)
        return os.open(name, _FLAGS, dir_fd=dir_fd)
    except PermissionError:
        raise LeftAloneError("unreadable") from None
    except BlockingIOError:
        # Its owner holds it to himself for writing (F_SETLEASE, F_WRLCK).
        raise LeftAloneError("being written") from None
    except OSError as error:
        if error.errno in GONE:
            raise LeftAloneError("changed meanwhile") from None
        raise


def _has_hole(fd: int, size: int) -> bool:
    return os.lseek(fd, 0, os.SEEK_HOLE) < size


def xattrs_of(fd: int) -> dict[str, bytes]:
    """Return the extended attributes of an open file; none where the file system has none."""
    try:
        return {name: os.getxattr(fd, name) for name in os.listxattr(fd)}
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.ENOSYS):
            return {}
        raise LeftAloneError("changed meanwhile") from None


def is_regular(info: os.stat_result) -> bool:
    """Tell whether it is a regular file."""
    return stat.S_ISREG(info.st_mode)
