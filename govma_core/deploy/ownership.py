"""Gives a built tree to the web server: every entry changes owner, and what no build may leave is refused.

No other user can write it afterwards, whatever modes and access lists the build left.

The tree was in the hands of the build's user. Each file is therefore opened before it is judged and given away, so that
what was looked at is what is changed.
"""

from __future__ import annotations

import errno
import os
import stat

from govma_core.building.tree_snapshot import refuse_deep, refuse_foreign, refuse_sparse
from govma_core.errors import BuildError, UnsafeTreeError
from govma_core.fs import safefs, trees

_ACCESS_LISTS = ("system.posix_acl_access", "system.posix_acl_default")
_NO_LISTS = (errno.EOPNOTSUPP, errno.ENOSYS)
_BITS = 0o1775
"""Of a mode what stays: neither set-id bits nor the right of others to write."""


def hand_over(tree_fd: int, owner: tuple[int, int] | None, build_uid: int, folder: str = "", depth: int = 0) -> int:
    """Give every entry of the tree to `owner` (None: only look), the directory itself included; return how many files.

    A file with more names than one is replaced by a copy of its own if the build's user owns it, and refused otherwise:
    it could be any file of the machine. So could one of another user than the build's, `owner` and us, which is refused
    when it is to be given away. BuildError names what was refused. `folder` and `depth` say where the directory is.
    """
    refuse_deep(depth, folder)
    if owner is not None:
        _give(tree_fd, owner)
    files = 0
    for entry in safefs.entries(tree_fd):
        path = f"{folder}/{entry.name}" if folder else entry.name
        if entry.is_dir(follow_symlinks=False):
            with safefs.opened(tree_fd, entry.name) as child:
                files += hand_over(child, owner, build_uid, path, depth + 1)
        elif entry.is_symlink():
            if owner is not None:
                _give_link(tree_fd, entry.name, owner, path)
        else:
            _give_file(tree_fd, entry.name, owner, build_uid, path)
            files += 1
    return files


def _give_link(fd: int, name: str, owner: tuple[int, int], path: str) -> None:
    info = os.stat(name, dir_fd=fd, follow_symlinks=False)
    if (info.st_uid, info.st_gid) == owner:
        return
    # Made anew rather than chowned: a link, too, could have become a name of something else in between.
    target = os.readlink(name, dir_fd=fd)
    try:
        safefs.replace_symlink(fd, name, target, owner, durable=False)
    except IsADirectoryError:
        raise BuildError("{path!r} changed while the tree was taken over. Build again.", path=path) from None


def _give_file(fd: int, name: str, owner: tuple[int, int] | None, build_uid: int, path: str) -> None:
    info = os.stat(name, dir_fd=fd, follow_symlinks=False)
    refuse_sparse(path, info)
    if stat.S_ISREG(info.st_mode) and info.st_nlink == 1 and owner is None:
        return
    try:
        file, info = safefs.open_regular(fd, name)
    except (UnsafeTreeError, FileNotFoundError):
        raise BuildError(
            "The build left {path!r}, which is neither a file, a directory nor a link.", path=path
        ) from None
    try:
        if info.st_nlink > 1:
            if info.st_uid != build_uid:
                raise BuildError(
                    "The build left {path!r} as a second name of a file of uid {st_uid}; it is not published.",
                    path=path,
                    st_uid=info.st_uid,
                )
            _own_copy(fd, name, file, info, owner)
        elif owner is not None:
            refuse_foreign(path, info, {build_uid, owner[0], os.geteuid()})
            _give(file, owner)
    finally:
        os.close(file)


def _own_copy(fd: int, name: str, file: int, info: os.stat_result, owner: tuple[int, int] | None) -> None:
    staged = safefs.random_name("govma-copy")
    trees.copy_opened(file, info, fd, staged, owner, _BITS)
    os.rename(staged, name, src_dir_fd=fd, dst_dir_fd=fd)


def _give(fd: int, owner: tuple[int, int]) -> None:
    os.fchown(fd, *owner)
    try:
        names = os.listxattr(fd)
    except OSError as error:
        if error.errno not in _NO_LISTS:
            raise
        names = []
    for name in names:
        if name in _ACCESS_LISTS:
            os.removexattr(fd, name)
    mode = stat.S_IMODE(os.fstat(fd).st_mode)
    if mode & ~_BITS:
        os.fchmod(fd, mode & _BITS)
