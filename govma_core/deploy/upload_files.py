"""Puts a file into a directory that others write at the same time: never over another, or only once that is kept.

The file is written under a hidden random name in that directory and takes its own name in one step, once it is on the
disk: a file that a power cut left empty would be kept for a person's.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from govma_core.errors import UnsafeTreeError
from govma_core.fs import safefs, trees

_PREFIX = "govma-upload"
_LEFTOVER = re.compile(rf"\.{_PREFIX}-[0-9a-f]{{16}}")
_COMPARED = 1 << 18


def place_new(src: int, dst: int, names: Sequence[str], owner: tuple[int, int] | None) -> list[str]:
    """Copy regular files from directory src to directory dst, where their names are free; return those not placed.

    A file is not placed where something else has the name by now, or where it is no regular file any more.
    """
    remaining = []
    with ExitStack() as stack:
        staged = []
        for name in names:
            try:
                staged.append((stack.enter_context(_staged(src, dst, name, owner)), name))
            except (UnsafeTreeError, FileNotFoundError, BlockingIOError):
                remaining.append(name)
        safefs.syncfs(dst)
        for hidden, name in staged:
            try:
                _link_new(dst, hidden, name)
            except (FileExistsError, FileNotFoundError):
                remaining.append(name)
    return remaining


def _link_new(dst: int, hidden: str, name: str) -> None:
    try:
        os.link(hidden, name, src_dir_fd=dst, dst_dir_fd=dst, follow_symlinks=False)
    except (FileExistsError, FileNotFoundError):
        raise
    except OSError:  # a file system without hard links
        safefs.rename_noreplace(hidden, name, src_dir_fd=dst, dst_dir_fd=dst)


def place_over(src: int, dst: int, path: tuple[str, ...], owner: tuple[int, int] | None, keeper: Keeper) -> None:
    """Replace the regular file path[-1] of directory dst by that of src, once it is kept as `path`.

    UnsafeTreeError when it is no regular file any more, BlockingIOError when it cannot be kept because another process
    holds it for writing; it is left alone then.
    """
    name = path[-1]
    with _staged(src, dst, name, owner) as staged:
        former = keeper.keep(dst, path)
        safefs.syncfs(dst)
        try:
            if not safefs.rename_exchange(staged, name, src_dir_fd=dst, dst_dir_fd=dst):
                os.rename(staged, name, src_dir_fd=dst, dst_dir_fd=dst)
                return
        except IsADirectoryError:
            raise UnsafeTreeError("{name!r} is not a regular file.", name=name) from None
        try:
            replaced = safefs.lstat(dst, staged)
            if replaced is None or _state(replaced) != _state(former):
                # Another one was put there, or it was written to, after it was kept.
                keeper.keep(dst, path, staged)
        except BaseException:
            safefs.rename_exchange(staged, name, src_dir_fd=dst, dst_dir_fd=dst)
            raise


def _state(info: os.stat_result) -> tuple[int, int, int, int]:
    return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns


def make_folder(dst: int, name: str, info: os.stat_result, owner: tuple[int, int] | None) -> int:
    """Create the directory with the mode in `info`, and return it opened; FileExistsError when anything is there.

    UnsafeTreeError when what is there a moment later is not what was created.
    """
    fd = safefs.make_directory(dst, name, 0o700)
    try:
        if owner is not None:
            os.fchown(fd, *owner)
        os.fchmod(fd, stat.S_IMODE(info.st_mode) & 0o777)
    except BaseException:
        os.close(fd)
        raise
    return fd


def same_content(src: int, dst: int, name: str) -> bool:
    """Tell whether both directories have a regular file `name` with the same bytes.

    BlockingIOError when another process holds one of them for writing.
    """
    with ExitStack() as stack:
        files = []
        for directory in (src, dst):
            try:
                fd, info = safefs.open_regular(directory, name)
            except (UnsafeTreeError, FileNotFoundError):
                return False
            stack.callback(os.close, fd)
            files.append((fd, info.st_size))
        (ours, size), (theirs, their_size) = files
        if size != their_size:
            return False
        while (piece := os.read(ours, _COMPARED)) == os.read(theirs, _COMPARED):
            if not piece:
                return True
        return False


def remove_leftovers(dst: int) -> None:
    """Remove the hidden files that a killed run left in the directory: regular files with a name of ours, only."""
    with os.scandir(dst) as entries:
        for entry in entries:
            if _LEFTOVER.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with suppress(FileNotFoundError):
                    os.unlink(entry.name, dir_fd=dst)


@contextmanager
def _staged(src: int, dst: int, name: str, owner: tuple[int, int] | None) -> Iterator[str]:
    """Yield the hidden name of a finished copy in dst; it is removed at the end if it is still there."""
    staged = safefs.random_name(_PREFIX)
    try:
        file, info = safefs.open_regular(src, name)
        try:
            trees.copy_opened(file, info, dst, staged, owner)
        finally:
            os.close(file)
        yield staged
    finally:
        with suppress(FileNotFoundError, IsADirectoryError):
            os.unlink(staged, dir_fd=dst)


class Keeper:
    """Keeps files that are about to be replaced, in a directory of ours that is made when the first one comes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def keep(self, src: int, path: tuple[str, ...], name: str = "") -> os.stat_result:
        """Keep the regular file path[-1] (or `name`) of directory src as `path` below the directory; return its state.

        It is linked, or copied. UnsafeTreeError when it is no regular file.
        """
        name = name or path[-1]
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with safefs.opened_root(self._directory) as root, safefs.opened(root, *path[:-1], make=True) as parent:
            copy = path[-1]
            if safefs.lstat(parent, copy) is not None:
                # A name may have 255 bytes, and a letter several.
                copy = f"{os.fsdecode(os.fsencode(copy)[:200])}.{secrets.token_hex(8)}"
            try:
                os.link(name, copy, src_dir_fd=src, dst_dir_fd=parent, follow_symlinks=False)
            except OSError:  # another file system, or one without hard links
                return self._copy(src, name, parent, copy)
            info = safefs.lstat(parent, copy)
            if info is None or not stat.S_ISREG(info.st_mode):
                trees.remove(parent, copy)
                raise UnsafeTreeError("{name!r} is not a regular file.", name=name)
            return info

    def _copy(self, src: int, name: str, parent: int, copy: str) -> os.stat_result:
        file, info = safefs.open_regular(src, name)
        try:
            owner = (info.st_uid, info.st_gid) if os.geteuid() == 0 else None
            trees.copy_opened(file, info, parent, copy, owner)
        finally:
            os.close(file)
        safefs.syncfs(parent)
        return info
