"""A built tree becomes the web server's: every entry changes owner, and what the build should not have left is refused.

The tree was in the hands of the build's user. Each file is therefore opened before it is judged and given away, so that
what was looked at is what is changed.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass

from govma_core import safefs, safetree
from govma_core.build.snapshot import refuse_deep, refuse_sparse
from govma_core.errors import BuildError, UnsafeTreeError
from govma_core.language import tr


@dataclass(slots=True)
class Owned:
    """What the tree holds: regular files and their bytes."""

    files: int = 0
    bytes: int = 0


def hand_over(tree_fd: int, owner: tuple[int, int] | None, build_uid: int) -> Owned:
    """Give every entry of the tree to `owner` (None: only look), the directory itself included.

    A file with more names than one is replaced by a copy of its own if the build's user owns it, and refused otherwise:
    it could be any file of the machine. BuildError names what was refused.
    """
    result = Owned()
    _hand_over(tree_fd, owner, build_uid, "", 0, result)
    return result


def _hand_over(fd: int, owner: tuple[int, int] | None, build_uid: int, shown: str, depth: int, result: Owned) -> None:
    refuse_deep(depth, shown)
    if owner is not None:
        os.fchown(fd, *owner)
        mode = os.fstat(fd).st_mode
        if mode & (stat.S_ISUID | stat.S_ISGID):
            os.fchmod(fd, stat.S_IMODE(mode) & 0o1777)
    for entry in safefs.entries(fd):
        path = f"{shown}/{entry.name}" if shown else entry.name
        if entry.is_dir(follow_symlinks=False):
            with safefs.opened(fd, entry.name) as child:
                _hand_over(child, owner, build_uid, path, depth + 1, result)
        elif entry.is_symlink():
            if owner is not None:
                _give_link(fd, entry.name, owner, path)
        else:
            result.bytes += _give_file(fd, entry.name, owner, build_uid, path)
            result.files += 1


def _give_link(fd: int, name: str, owner: tuple[int, int], path: str) -> None:
    info = os.stat(name, dir_fd=fd, follow_symlinks=False)
    if (info.st_uid, info.st_gid) == owner:
        return
    # Made anew rather than chowned: a link, too, could have become a name of something else in between.
    target = os.readlink(name, dir_fd=fd)
    try:
        safefs.replace_symlink(fd, name, target, owner, durable=False)
    except IsADirectoryError:
        raise BuildError(tr("{path!r} changed while the tree was taken over. Build again.", path=path)) from None


def _give_file(fd: int, name: str, owner: tuple[int, int] | None, build_uid: int, path: str) -> int:
    info = os.stat(name, dir_fd=fd, follow_symlinks=False)
    refuse_sparse(path, info)
    if stat.S_ISREG(info.st_mode) and info.st_nlink == 1 and (owner is None or (info.st_uid, info.st_gid) == owner):
        return info.st_size
    try:
        file, info = safefs.open_regular(fd, name)
    except (UnsafeTreeError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (errno.ENXIO, errno.ENOENT):
            raise
        raise BuildError(
            tr("The build left {path!r}, which is neither a file, a directory nor a link.", path=path)
        ) from None
    try:
        if info.st_nlink > 1:
            if info.st_uid != build_uid:
                raise BuildError(
                    tr(
                        "The build left {path!r} as a second name of a file of uid {st_uid}; it is not published.",
                        path=path,
                        st_uid=info.st_uid,
                    )
                )
            _own_copy(fd, name, file, info, owner)
        elif owner is not None:
            os.fchown(file, *owner)
    finally:
        os.close(file)
    return info.st_size


def _own_copy(fd: int, name: str, file: int, info: os.stat_result, owner: tuple[int, int] | None) -> None:
    staged = safefs.random_name("govma-copy")
    safetree.copy_opened(file, info, fd, staged, owner)
    os.rename(staged, name, src_dir_fd=fd, dst_dir_fd=fd)
