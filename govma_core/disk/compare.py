"""What dedupe and linking compare: open files under a lease, and what was left alone."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from govma_core.fs import leases
from govma_core.fs.walk import GONE, Directories

Reason = Literal[
    "being written",
    "changed meanwhile",
    "immutable",
    "on another file system",
    "sparse",
    "special",
    "unreadable",
    "too many different contents",
    "without a lease",
    "without blocks of its own",
]

_NAMES_KEPT = 20
"""Names that are kept of each reason."""


@dataclass(slots=True)
class LeftAlone:
    """Files that were left alone for one reason: how many, and the names of the first."""

    count: int = 0
    names: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Tally:
    """Counters of one pass: names of files, names that were linked, bytes freed (st_blocks), files left alone.

    `partly` are inodes of which only some names were removed, by device and number: names removed, link count, bytes.
    Where several processes removed the rest each, the sum of them tells that the inode is gone.
    """

    files: int = 0
    linked: int = 0
    freed: int = 0
    left_alone: dict[Reason, LeftAlone] = field(default_factory=dict)
    partly: dict[tuple[int, int], tuple[int, int, int]] = field(default_factory=dict)

    def count_removed(self, info: os.stat_result, names: int) -> None:
        """Count the names of an inode that are being removed; `info` is from before."""
        size = info.st_blocks * 512
        if names >= info.st_nlink:
            self.freed += size
        elif names:
            self._count_partly((info.st_dev, info.st_ino), names, info.st_nlink, size)

    def _count_partly(self, inode: tuple[int, int], names: int, links: int, size: int) -> None:
        names_before, links_before, _ = self.partly.pop(inode, (0, 0, 0))
        names, links = names_before + names, max(links_before, links)
        if names >= links:
            self.freed += size
        else:
            self.partly[inode] = names, links, size

    def leave_alone(self, reason: Reason, name: str) -> None:
        """Count a file that was left alone."""
        self._add_left_alone(reason, 1, [name])

    def add(self, other: Tally) -> None:
        """Add what another pass came to."""
        self.files += other.files
        self.linked += other.linked
        self.freed += other.freed
        for reason, files in other.left_alone.items():
            self._add_left_alone(reason, files.count, files.names)
        for inode, (names, links, size) in other.partly.items():
            self._count_partly(inode, names, links, size)

    def _add_left_alone(self, reason: Reason, count: int, names: Sequence[str]) -> None:
        files = self.left_alone.setdefault(reason, LeftAlone())
        files.count += count
        files.names += names[: max(0, _NAMES_KEPT - len(files.names))]

    def plain(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        left_alone = {reason: {"count": files.count, "names": files.names} for reason, files in self.left_alone.items()}
        return {"seen": self.files, "linked": self.linked, "freed": self.freed, "left": left_alone}


Place = tuple[int, str, str]
"""Where a name is: number of the root, path of its directory below that, the name."""


def place_text(versions: Sequence[str], place: Place) -> str:
    """Return a place as reports show it: version, path, name."""
    root, path, name = place
    return "/".join(part for part in (versions[root], path, name) if part)


IN_MEMORY = 256 * 1024
"""Bytes of content that are held in memory; larger files are compared block by block."""
_BLOCK = 1 << 20
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class LeftAloneError(Exception):
    """The file stays as it is."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


@dataclass(slots=True)
class Inode:
    """An inode under some of its names. `fixed` ones are in the current version: nothing replaces them."""

    info: os.stat_result
    places: list[Place]
    fixed: bool


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
            if self.info.st_blocks * 512 < self.info.st_size and os.lseek(self.fd, 0, os.SEEK_HOLE) < self.info.st_size:
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
        """Tell whether no process has written to it, or waits to, since it was opened here."""
        if self.lease:
            return leases.held(self.fd)
        now = os.fstat(self.fd)
        return (now.st_mtime_ns, now.st_size) == (self.info.st_mtime_ns, self.info.st_size)

    def still(self, info: os.stat_result) -> bool:
        """Tell whether this is what was opened, with the same rights and attributes, and no process writes to it."""
        return (
            content_state(info) == content_state(self.info)
            and traits(info) == traits(self.info)
            and self.quiet()
            and xattrs_of(self.fd) == self.xattrs()
        )

    def equals(self, other: OpenFile) -> bool:
        """Compare content and extended attributes; the traits are the same already."""
        small = self.info.st_size <= IN_MEMORY
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
        """Return what is in it, held from now on; for files up to IN_MEMORY only."""
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


def xattrs_of(fd: int) -> dict[str, bytes]:
    """Return the extended attributes of an open file; none where the file system has none."""
    try:
        return {name: os.getxattr(fd, name) for name in os.listxattr(fd)}
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.ENOSYS):
            return {}
        raise LeftAloneError("changed meanwhile") from None
