"""Sharing extents instead of inodes (XFS, btrfs): the kernel compares and shares, nothing can leak between versions.

ioctl_fideduperange(2), and FIEMAP (Documentation/filesystems/fiemap.rst) to see what is shared already.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Sequence

from govma_core.disk.compare import Inode, LeftAloneError, OpenFile, Tally
from govma_core.fs import safefs

_FIDEDUPERANGE = 0xC0189436
_FS_IOC_FIEMAP = 0xC020660B
_FIEMAP_FLAG_SYNC = 1
_FIEMAP_EXTENT_LAST = 1
# What has no place of its own on the disk: unknown, delayed, inline, packed into a tail.
_FIEMAP_EXTENT_UNPLACED = 0x2 | 0x4 | 0x200 | 0x400

_RANGE = struct.Struct("=QQHHI")
_TARGET = struct.Struct("=qQQiI")
_MAP = struct.Struct("=QQIIII")
_EXTENT = struct.Struct("=QQQQQIIII")
_MOST = 16 << 20
"""Bytes that one call may take on every file system."""
_EXTENTS = 256
_DIFFERS = 1
"""FILE_DEDUPE_RANGE_DIFFERS"""


class Extents:
    """Has equal files share their blocks; each keeps its inode, mtime and owner, and a write stays in its file."""

    def share(self, inode: Inode, file: OpenFile, master: OpenFile, tally: Tally) -> None:
        """Share the content of the master."""
        if share_content(file.fd, master.fd, file.info.st_size):
            tally.linked += 1
            tally.freed += file.info.st_blocks * 512

    def finish(self, tally: Tally) -> None:
        """Do nothing: nothing is put off."""


def share_content(fd: int, master: int, size: int) -> bool:
    """Have a file of this size share the blocks of the master, which must be equal; False when it need not.

    It need not when it does already, or is so small that its content lies in the inode. LeftAloneError when it cannot.
    """
    blocks = _blocks(fd)
    if not blocks or blocks == _blocks(master):
        return False
    offset = 0
    while offset < size:
        offset += _dedupe(master, fd, offset, min(size - offset, _MOST))
    return True


def can_share_extents(directory: int) -> bool:
    """Try, with two small files in a private directory, whether its file system shares extents."""
    names = [safefs.random_name("probe") for _ in range(2)]
    fds: list[int] = []
    try:
        for name in names:
            fds.append(os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=directory))
            os.write(fds[-1], b"govma" * 4096)
        return _dedupe(fds[0], fds[1], 0, 16384) > 0
    except (OSError, LeftAloneError):
        return False
    finally:
        for fd, name in zip(fds, names, strict=False):
            os.close(fd)
            os.unlink(name, dir_fd=directory)


def _dedupe(src: int, dst: int, offset: int, length: int) -> int:
    """Share one range; return the bytes that are shared now. LeftAloneError when they differ."""
    request = bytearray(_RANGE.pack(offset, length, 1, 0, 0) + _TARGET.pack(dst, offset, 0, 0, 0))
    fcntl.ioctl(src, _FIDEDUPERANGE, request)
    _, _, shared, status, _ = _TARGET.unpack_from(request, _RANGE.size)
    if status == _DIFFERS:
        raise LeftAloneError("changed meanwhile")
    if status < 0:
        if -status in (errno.EPERM, errno.EACCES, errno.ETXTBSY):
            raise LeftAloneError("immutable")
        if -status == errno.EINVAL:
            # Content that lies in the inode itself has no blocks to share.
            raise LeftAloneError("without blocks of its own")
        raise OSError(-status, os.strerror(-status))
    if not shared:
        raise LeftAloneError("without blocks of its own")
    return int(shared)


def _blocks(fd: int) -> Sequence[tuple[int, int, int]]:
    """Return (logical, physical, length) of each extent; nothing when one is not on the disk as blocks of its own."""
    extents: list[tuple[int, int, int]] = []
    start = 0
    while True:
        request = bytearray(_MAP.pack(start, (1 << 64) - 1 - start, _FIEMAP_FLAG_SYNC, 0, _EXTENTS, 0))
        request += bytes(_EXTENTS * _EXTENT.size)
        try:
            fcntl.ioctl(fd, _FS_IOC_FIEMAP, request)
        except OSError:
            return []
        mapped = _MAP.unpack_from(request)[3]
        if not mapped:
            return extents
        for number in range(mapped):
            logical, physical, length, _, _, flags, *_ = _EXTENT.unpack_from(request, _MAP.size + number * _EXTENT.size)
            if flags & _FIEMAP_EXTENT_UNPLACED:
                return []
            extents.append((logical, physical, length))
            start = logical + length
            if flags & _FIEMAP_EXTENT_LAST:
                return extents
