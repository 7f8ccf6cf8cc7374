"""Removing as much of a tree as can be removed, and naming the rest.

Where safetree.remove stops at the first thing that resists (an immutable file, a mount), this goes on with all others.
It never crosses a mount: what is mounted inside a tree is somebody's, and stays.

What a killed run left is removed by the next one, from directories in which others can rename whatever lies there to a
name of ours. By the name alone, root would remove for them what they may not. So our directories carry a mark.
"""

from __future__ import annotations

import errno
import os
import stat

from govma_core import safefs
from govma_core.errors import UnsafeTreeError
from govma_core.language import tr

_DEEPEST = 64
"""Directories held open at once; what lies deeper is first moved up."""
_MOST_PASSES = 10_000

_MARK = 0o1700
"""The mode of ours: nobody but its owner can give it to a directory, and nobody does by chance."""


def make_marked(dir_fd: int, name: str) -> int:
    """Create a directory for us alone that clear_marked() knows again, and give it opened."""
    return safefs.make_directory(dir_fd, name, _MARK)


def mark(fd: int) -> None:
    """Take an open directory, so that clear_marked() may remove it."""
    os.fchown(fd, os.geteuid(), os.getegid())
    os.fchmod(fd, _MARK)


def clear_marked(dir_fd: int, name: str) -> list[str] | None:
    """Clear a directory that is marked, or empty, as clear() does; None when it is neither, and is left alone."""
    try:
        # Nobody loses anything by that, and one that was just made has no mark yet.
        os.rmdir(name, dir_fd=dir_fd)
        return []
    except FileNotFoundError:
        return []
    except OSError:
        pass
    try:
        with safefs.opened(dir_fd, name) as fd:
            info = os.fstat(fd)
            if info.st_uid != os.geteuid() or stat.S_IMODE(info.st_mode) != _MARK:
                return None
            return clear_opened(dir_fd, name, fd)
    except UnsafeTreeError:
        return None
    except OSError as error:
        return [f"{name}: {reason(error)}"]


def clear(dir_fd: int, name: str) -> list[str]:
    """Remove a file, link or whole tree below dir_fd as far as that goes; give a sentence for each thing that resists.

    Nothing is followed. What others add to the tree meanwhile is removed too, or named.
    """
    problems: list[str] = []
    found = safefs.lstat(dir_fd, name)
    if found is None:
        return problems
    try:
        if not stat.S_ISDIR(found.st_mode):
            os.unlink(name, dir_fd=dir_fd)
            return problems
        with safefs.opened(dir_fd, name) as top:
            return clear_opened(dir_fd, name, top)
    except (OSError, UnsafeTreeError) as error:
        problems.append(f"{name}: {reason(error)}")
    return problems


def clear_opened(dir_fd: int, name: str, fd: int) -> list[str]:
    """Clear the open directory `fd`, which has the name in dir_fd, as clear() does.

    Should the name lead to another one by now, that is left alone unless it is empty.
    """
    clearing = _Clearing(fd)
    if clearing.mount != safefs.mount_of(dir_fd):
        return [tr("{name}: something is mounted there", name=name)]
    problems = clearing.run()
    if not problems:
        try:
            os.rmdir(name, dir_fd=dir_fd)
        except OSError as error:
            problems.append(f"{name}: {reason(error)}")
    return problems


class _Clearing:
    """Empties one tree; `mount` is the mount that it is on."""

    def __init__(self, top: int) -> None:
        self.mount = safefs.mount_of(top)
        self._top = top
        self._moved = False
        self._problems: list[str] = []

    def run(self) -> list[str]:
        """Empty the tree; give what resists."""
        for _ in range(_MOST_PASSES):
            self._moved = False
            self._problems = []
            self._empty(self._top, "", 1)
            if not self._moved:
                break
        return self._problems

    def _empty(self, fd: int, shown: str, depth: int) -> None:
        for entry in safefs.entries(fd):
            where = f"{shown}{entry.name}"
            try:
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.name, dir_fd=fd)
                elif depth >= _DEEPEST:
                    os.rename(entry.name, safefs.random_name("up"), src_dir_fd=fd, dst_dir_fd=self._top)
                    self._moved = True
                else:
                    self._descend(fd, entry.name, where, depth)
            except FileNotFoundError:
                continue
            except (OSError, UnsafeTreeError) as error:
                self._problems.append(f"{where}: {reason(error)}")

    def _descend(self, fd: int, name: str, where: str, depth: int) -> None:
        before = len(self._problems)
        with safefs.opened(fd, name) as child:
            if safefs.mount_of(child) != self.mount:
                self._problems.append(tr("{where}: something is mounted there", where=where))
                return
            self._empty(child, f"{where}/", depth + 1)
        # With something left in it the directory stays, too; that needs no sentence of its own.
        if len(self._problems) == before:
            os.rmdir(name, dir_fd=fd)


def reason(error: OSError | UnsafeTreeError) -> str:
    """Return an error as the end of a sentence, with a hint where the system's own words don't help."""
    if isinstance(error, UnsafeTreeError):
        return str(error).rstrip(".")
    hint = tr(" (immutable? check with lsattr)") if error.errno == errno.EPERM else ""
    return f"{error.strerror}{hint}"
