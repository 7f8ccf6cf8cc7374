"""Whole trees, worked through descriptors: removing and copying. Built on safefs, and as careful."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from govma_core.errors import UnsafeTreeError
from govma_core.fs import safefs
from govma_core.text.language import tr

_DEEPEST = 64
"""Directories held open at once while removing; what lies deeper is first moved up."""
_MOST_PASSES = 10_000
_MARK = 0o1700
"""The mode of a directory of ours: only its owner can set it, and no program sets it by chance."""
PASSABLE_MARK = 0o1711
"""The same for one through which others may pass."""
_ENDLESS = 1 << 62
_BITS = 0o1777


@dataclass(frozen=True, slots=True)
class _Obstacle:
    """What could not be removed: its path in the tree, and the error; None where something is mounted."""

    where: str
    error: OSError | UnsafeTreeError | None

    def sentence(self) -> str:
        if self.error is None:
            return tr("{where}: something is mounted there", where=self.where)
        return f"{self.where}: {reason(self.error)}"

    def to_error(self) -> OSError | UnsafeTreeError:
        name = self.where.rpartition("/")[2]
        return self.error or UnsafeTreeError(
            "Something is mounted at {name!r}; it is not removed. Unmount it.", name=name
        )


def remove(dir_fd: int, name: str) -> None:
    """Remove a file, link or whole tree below dir_fd; nothing happens when it is not there.

    Nothing is followed. What resists raises its error, UnsafeTreeError where something is mounted, once the rest is
    removed.
    """
    info = safefs.lstat(dir_fd, name)
    if info is None:
        return
    if not stat.S_ISDIR(info.st_mode):
        os.unlink(name, dir_fd=dir_fd)
        return
    with safefs.opened(dir_fd, name) as top:
        obstacles = _remove_opened(dir_fd, name, top)
    if obstacles:
        raise obstacles[0].to_error()


def clear_opened(dir_fd: int, name: str, fd: int) -> list[str]:
    """Remove the open directory `fd`, which has the name in dir_fd; return a sentence for each thing that resists.

    What others add to the tree meanwhile is removed too, or named. Should the name lead to another directory by now,
    that is left alone unless it is empty.
    """
    return [obstacle.sentence() for obstacle in _remove_opened(dir_fd, name, fd)]


def _remove_opened(dir_fd: int, name: str, fd: int) -> list[_Obstacle]:
    removal = _Removal(fd)
    if removal.mount != safefs.mount_of(dir_fd):
        return [_Obstacle(name, None)]
    obstacles = removal.empty()
    if not obstacles:
        try:
            os.rmdir(name, dir_fd=dir_fd)
        except OSError as error:
            obstacles.append(_Obstacle(name, error))
    return obstacles


class _Removal:
    """Empties one tree as far as that goes; `mount` is the mount that it is on.

    Needs at most _DEEPEST descriptors however deep the tree is: a directory found deeper is renamed up into the top
    one and taken from there.
    """

    def __init__(self, top: int) -> None:
        self.mount = safefs.mount_of(top)
        self._top = top
        self._moved_up = False
        self._obstacles: list[_Obstacle] = []

    def empty(self) -> list[_Obstacle]:
        for _ in range(_MOST_PASSES):
            self._moved_up = False
            self._obstacles = []
            self._empty(self._top, "", 1)
            if not self._moved_up:
                break
        return self._obstacles

    def _empty(self, fd: int, prefix: str, depth: int) -> None:
        # A process that works in the directory could otherwise make names in it for ever; one with our mark is closed
        # already, and keeps the mark. Where we may not close it, emptying it tells that better.
        if not is_marked(fd):
            with suppress(OSError):
                safefs.close_to_others(fd)
        for entry in safefs.entries(fd):
            where = f"{prefix}{entry.name}"
            try:
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.name, dir_fd=fd)
                elif depth >= _DEEPEST:
                    os.rename(entry.name, safefs.random_name("up"), src_dir_fd=fd, dst_dir_fd=self._top)
                    self._moved_up = True
                else:
                    self._descend(fd, entry.name, where, depth)
            except FileNotFoundError:
                continue
            except (OSError, UnsafeTreeError) as error:
                self._obstacles.append(_Obstacle(where, error))

    def _descend(self, fd: int, name: str, where: str, depth: int) -> None:
        before = len(self._obstacles)
        with safefs.opened(fd, name) as child:
            if safefs.mount_of(child) != self.mount:
                self._obstacles.append(_Obstacle(where, None))
                return
            self._empty(child, f"{where}/", depth + 1)
        # With something left in it the directory stays, too; that needs no sentence of its own.
        if len(self._obstacles) == before:
            os.rmdir(name, dir_fd=fd)


def reason(error: OSError | UnsafeTreeError) -> str:
    """Return an error as the end of a sentence, with a hint where the system's own words don't help."""
    if isinstance(error, UnsafeTreeError):
        return str(error).rstrip(".")
    hint = tr(" (immutable? check with lsattr)") if error.errno == errno.EPERM else ""
    return f"{error.strerror}{hint}"


def make_marked(dir_fd: int, name: str) -> int:
    """Create a directory for us alone that clear_marked() knows again, and give it opened."""
    return safefs.make_directory(dir_fd, name, _MARK)


def mark(fd: int) -> None:
    """Take an open directory, so that clear_marked() may remove it."""
    os.fchown(fd, os.geteuid(), os.getegid())
    os.fchmod(fd, _MARK)


def is_marked(fd: int) -> bool:
    """Tell whether an open directory has our mark."""
    info = os.fstat(fd)
    return info.st_uid == os.geteuid() and stat.S_IMODE(info.st_mode) in (_MARK, PASSABLE_MARK)


def clear_marked(dir_fd: int, name: str) -> list[str] | None:
    """Clear a directory that is marked, or empty, as clear_opened() does; None when it is neither, and left alone."""
    try:
        # Nothing is lost by that, and a directory that was just made has no mark yet.
        os.rmdir(name, dir_fd=dir_fd)
        return []
    except FileNotFoundError:
        return []
    except OSError:
        pass
    try:
        with safefs.opened(dir_fd, name) as fd:
            return clear_opened(dir_fd, name, fd) if is_marked(fd) else None
    except UnsafeTreeError:
        return None
    except OSError as error:
        return [f"{name}: {reason(error)}"]


class TreeCopier:
    """Copies directories entry by entry with mode and mtime, giving every entry to one owner as it is made.

    Links are copied as links, nothing is followed. A FIFO, socket or device stops the copy with UnsafeTreeError. With
    owner None every entry belongs to whoever runs. `step` is called once a directory, and
    again and again in large files (to look for a cancel request).
    """

    def __init__(self, owner: tuple[int, int] | None, step: Callable[[], None] = lambda: None) -> None:
        self._owner = owner
        self._step = step
        self.files = 0

    def copy_into(self, src_fd: int, dst_fd: int, *, skip: frozenset[str] = frozenset(), shown_path: str = "") -> None:
        """Copy what is in src (but the names in `skip`) into the directory dst, which must not hold those names."""
        self._step()
        for entry in safefs.entries(src_fd):
            if entry.name in skip:
                continue
            where = f"{shown_path}/{entry.name}" if shown_path else entry.name
            if entry.is_symlink():
                self.copy_link(src_fd, dst_fd, entry.name)
            elif entry.is_dir(follow_symlinks=False):
                self.copy_directory(src_fd, dst_fd, entry.name, where)
            elif entry.is_file(follow_symlinks=False):
                self.copy_file(src_fd, dst_fd, entry.name)
            else:
                self.special(where)

    def owner_of(self, info: os.stat_result) -> tuple[int, int] | None:
        """Return whom the copy of this entry belongs to."""
        del info
        return self._owner

    def special(self, where: str) -> None:
        """Take what is no file, directory or link: UnsafeTreeError."""
        raise UnsafeTreeError("{where!r} is neither a file, a directory nor a link; remove it.", where=where)

    def copy_directory(
        self, src_dir: int, dst_dir: int, name: str, shown_path: str, new_name: str | None = None
    ) -> None:
        """Copy one directory (as new_name when given) with all that is in it; its mtime is set last."""
        with safefs.opened(src_dir, name) as src:
            info = os.fstat(src)
            dst = safefs.make_directory(dst_dir, new_name or name, 0o700)
            try:
                self.copy_into(src, dst, shown_path=shown_path)
                _finish(dst, info, self.owner_of(info))
            finally:
                os.close(dst)

    def copy_link(self, src_dir: int, dst_dir: int, name: str) -> None:
        """Copy a link as a link."""
        owner = self.owner_of(os.stat(name, dir_fd=src_dir, follow_symlinks=False))
        safefs.make_symlink(dst_dir, name, os.readlink(name, dir_fd=src_dir), owner)

    def copy_file(self, src_dir: int, dst_dir: int, name: str) -> None:
        """Copy one regular file."""
        src, info = safefs.open_regular(src_dir, name)
        try:
            self.admit(name, info.st_size)
            copy_opened(src, info, dst_dir, name, self.owner_of(info), step=self._step)
        finally:
            os.close(src)
        self.files += 1

    def admit(self, name: str, size: int) -> None:
        """Take one more file, of which no more than `size` bytes are copied; UnsafeTreeError when that is too much."""


def copy_opened(
    src: int,
    info: os.stat_result,
    dst_dir: int,
    name: str,
    owner: tuple[int, int] | None,
    bits: int = _BITS,
    step: Callable[[], None] = lambda: None,
) -> None:
    """Copy an open file to a new one, with the mode (of it, `bits`) and times that `info` tells.

    `owner` and `step` are those of TreeCopier.
    """
    dst = os.open(name, safefs.CREATE_FLAGS, 0o600, dir_fd=dst_dir)
    try:
        copy_content(src, dst, info.st_size, step)
        _finish(dst, info, owner, bits)
    finally:
        os.close(dst)


def _finish(dst: int, info: os.stat_result, owner: tuple[int, int] | None, bits: int = _BITS) -> None:
    if owner is not None:
        os.fchown(dst, *owner)
    # After the chown, which clears them, set-id bits would come back: they are left out on purpose.
    os.fchmod(dst, stat.S_IMODE(info.st_mode) & bits)
    os.utime(dst, ns=(info.st_atime_ns, info.st_mtime_ns))


def copy_content(src: int, dst: int, most: int | None = None, step: Callable[[], None] = lambda: None) -> None:
    """Copy from one open file to another inside the kernel, until the end of src or `most` bytes.

    Memory does not grow with it. Without `most`, a file that grows meanwhile need not have an end. `step`
    is called after each 16 MiB.
    """
    remaining = _ENDLESS if most is None else most
    while remaining > 0 and (count := os.sendfile(dst, src, None, min(remaining, 1 << 24))):
        remaining -= count
        step()
