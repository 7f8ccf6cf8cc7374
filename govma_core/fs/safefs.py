"""File work relative to open directories, for trees in which other users can write.

No call here follows a symbolic link below the directory it was given: names are resolved against a descriptor
(`dir_fd`), directories are opened with O_NOFOLLOW, files are created with O_EXCL. Names that came from disk are `str`
with surrogate escapes, as `os` gives them.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from govma_core.errors import UnsafeTreeError

DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
CREATE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_RENAME_NOREPLACE = 1
_RENAME_EXCHANGE = 2
_AT_EMPTY_PATH = 0x1000
_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_IN_ROOT = 0x10
_MOUNT = re.compile(rb"^mnt_id:\s*(\d+)$", re.MULTILINE)
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def opened_root(path: Path) -> Iterator[int]:
    """Open a configured directory by its path; links in the path itself are the administrator's and are followed."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def opened(dir_fd: int, *names: str, make: bool = False) -> Iterator[int]:
    """Open the directory `names[0]/names[1]/…` below dir_fd, refusing a link or a file at every step.

    With `make` those that are missing are made (mode 0755).
    """
    fd = os.dup(dir_fd)
    try:
        for depth, name in enumerate(names, 1):
            if make and lstat(fd, name) is None:
                os.close(make_directory(fd, name))
            try:
                above, fd = fd, os.open(name, DIRECTORY_FLAGS, dir_fd=fd)
            except OSError as error:
                if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                    raise
                path = "/".join(names[:depth])
                raise UnsafeTreeError("{shown!r} is a link or a file where a directory must be.", shown=path) from None
            os.close(above)
        yield fd
    finally:
        os.close(fd)


@contextmanager
def opened_inside(root_fd: int, path: str) -> Iterator[int]:
    """Have a directory for looking at it alone (O_PATH), found as a process would whose root directory is root_fd.

    Links lead where they lead for that process, and nothing leads out (openat2(2), RESOLVE_IN_ROOT; Linux 5.6).
    """
    how = struct.pack("QQQ", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
    fd = _libc.syscall(_OPENAT2, root_fd, os.fsencode(path), how, len(how))
    if fd < 0:
        raise _last_error(path)
    try:
        yield fd
    finally:
        os.close(fd)


def _last_error(*names: str | None) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), *names)


def lstat(dir_fd: int, name: str) -> os.stat_result | None:
    """Stat a name without following it; None when there is nothing."""
    try:
        return os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return None


def is_directory(dir_fd: int, name: str) -> bool:
    """Tell whether the name is a real directory, not a link to one."""
    existing = lstat(dir_fd, name)
    return existing is not None and stat.S_ISDIR(existing.st_mode)


def close_to_others(fd: int) -> None:
    """Close an open directory to other users: they can neither make names in it nor enter it by name."""
    info = os.fstat(fd)
    if info.st_uid != os.geteuid():
        os.fchown(fd, os.geteuid(), os.getegid())
    if stat.S_IMODE(info.st_mode) != 0o700:
        os.fchmod(fd, 0o700)


def random_name(prefix: str) -> str:
    """Return a hidden name that no other process can prepare in advance."""
    return f".{prefix}-{os.urandom(8).hex()}"


def rename_noreplace(src: str, dst: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
    """Rename within a file system; FileExistsError when dst is there, even as an empty directory (renameat2(2))."""
    try:
        _renameat2(src, dst, src_dir_fd, dst_dir_fd, _RENAME_NOREPLACE)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS):
            raise
        # A file system without the flag (some FUSE, old NFS): the check before is the best there is.
        if lstat(dst_dir_fd, dst) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), dst) from None
        os.rename(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)


def rename_exchange(src: str, dst: str, *, src_dir_fd: int, dst_dir_fd: int) -> bool:
    """Exchange two names in one step, so that neither is ever missing; False on a file system that cannot."""
    try:
        _renameat2(src, dst, src_dir_fd, dst_dir_fd, _RENAME_EXCHANGE)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS):
            raise
        return False
    return True


def _renameat2(src: str, dst: str, src_dir_fd: int, dst_dir_fd: int, flags: int) -> None:
    if _libc.renameat2(src_dir_fd, os.fsencode(src), dst_dir_fd, os.fsencode(dst), flags) != 0:
        raise _last_error(src, None, dst)


def mount_of(fd: int) -> bytes:
    """Return the id of the mount that an open directory is on (proc_pid_fdinfo(5)): a bind mount has its device's."""
    with open(f"/proc/self/fdinfo/{fd}", "rb") as file:
        match = _MOUNT.search(file.read())
    return match[1] if match else b""


def syncfs(fd: int) -> None:
    """Write everything of the file system that fd is on to the disk (syncfs(2))."""
    if _libc.syncfs(fd) != 0:
        raise _last_error()


def free_bytes(fd: int) -> int:
    """Return the free bytes of the file system that fd is on, with everything that waits to be written on the disk."""
    syncfs(fd)
    filesystem = os.fstatvfs(fd)
    return filesystem.f_bfree * filesystem.f_frsize


def replace_symlink(
    dir_fd: int, name: str, target: str, owner: tuple[int, int] | None, *, durable: bool = True
) -> None:
    """Make or replace the link `name -> target` in one rename, so that no reader misses it; fsync the directory.

    `owner` is (uid, gid) for the link itself, or None to leave it. IsADirectoryError when a directory has the name.
    """
    staged = random_name("govma-link")
    try:
        make_symlink(dir_fd, staged, target, owner)
        os.rename(staged, name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
    except BaseException:
        with suppress(OSError):
            os.unlink(staged, dir_fd=dir_fd)
        raise
    if durable:
        os.fsync(dir_fd)


def make_symlink(dir_fd: int, name: str, target: str, owner: tuple[int, int] | None) -> None:
    """Make the link `name -> target`, and give the very link that was made to `owner` (uid, gid).

    UnsafeTreeError when the name leads to another thing a moment later: a user who can write in the directory can put a
    second name of a foreign file there.
    """
    os.symlink(target, name, dir_fd=dir_fd)
    if owner is None:
        return
    with _what_was_made(name):
        fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        info = os.fstat(fd)
        if not stat.S_ISLNK(info.st_mode) or info.st_uid != os.geteuid() or os.readlink("", dir_fd=fd) != target:
            raise _exchanged(name)
        if _libc.fchownat(fd, b"", *owner, _AT_EMPTY_PATH) != 0:
            raise _last_error(name)
    finally:
        os.close(fd)


def make_directory(dir_fd: int, name: str, mode: int = 0o755) -> int:
    """Create the directory (it must not be there), with exactly this mode, and give it opened.

    UnsafeTreeError when the name does not lead to what was created a moment later: a user who can write in dir_fd can
    exchange it.
    """
    os.mkdir(name, 0o700, dir_fd=dir_fd)
    with _what_was_made(name):
        fd = os.open(name, DIRECTORY_FLAGS, dir_fd=dir_fd)
    try:
        info = os.fstat(fd)
        if info.st_uid != os.geteuid() or info.st_mode & 0o777 != 0o700 or os.listdir(fd):
            raise _exchanged(name)
        os.fchmod(fd, mode)
    except BaseException:
        os.close(fd)
        raise
    return fd


@contextmanager
def _what_was_made(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENOENT):
            raise _exchanged(name) from None
        raise


def _exchanged(name: str) -> UnsafeTreeError:
    return UnsafeTreeError("{name!r} was exchanged while it was created.", name=name)


def open_regular(dir_fd: int, name: str) -> tuple[int, os.stat_result]:
    """Open a file for reading only when it is a regular one; never blocks on a FIFO, never follows a link."""
    try:
        fd = os.open(name, FILE_FLAGS, dir_fd=dir_fd)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise UnsafeTreeError("{name!r} is not a regular file.", name=name) from None
        raise
    info = os.fstat(fd)
    if not stat.S_ISREG(info.st_mode):
        os.close(fd)
        raise UnsafeTreeError("{name!r} is not a regular file.", name=name)
    return fd, info


def entries(dir_fd: int) -> list[os.DirEntry[str]]:
    """List a directory; the entries' own stat() and is_dir() must be called with follow_symlinks=False.

    The position in the listing is the descriptor's: threads that list one directory need a descriptor each.
    """
    with os.scandir(dir_fd) as listing:
        return list(listing)
