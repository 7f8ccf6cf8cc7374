"""Walks through trees in which others can write: directories opened step by step, and no link followed."""

from __future__ import annotations

import errno
import os
import resource
from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress

from govma_core.fs import safefs

GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.ESTALE})
"""What opening a name says that vanished, or became another kind of thing, meanwhile."""

_ENOUGH = 16384
"""Descriptors, more of which would gain nothing."""
_RESERVE = 128
"""Descriptors left to everything else in the process."""
_ENDLESS = 1 << 30


def raise_descriptor_limit() -> int:
    """Raise this process's limit of open files as far as it may go and makes sense; return what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, enough), hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def join(path: str, name: str) -> str:
    """Return the path of a name in the directory at `path` ('' for the root)."""
    return f"{path}/{name}" if path else name


class Directories:
    """Descriptors of directories `(root number, relative path)`, opened when asked for, the least used closed first.

    Every step below a root is O_NOFOLLOW. A descriptor is good until the next call: use it at once.
    """

    def __init__(self, roots: Sequence[int], most: int | None = None) -> None:
        self._roots = roots
        self._open: OrderedDict[tuple[int, str], int] = OrderedDict()
        self._most = max(8, (raise_descriptor_limit() - _RESERVE) // 2 if most is None else most)

    def fd(self, root: int, path: str) -> int:
        """Return the directory at `path` ('' for the root itself); OSError when it is none, or not there any more.

        It is opened step by step from the nearest one that is open, however deep it is.
        """
        missing = []
        while path and (root, path) not in self._open:
            path, _, name = path.rpartition("/")
            missing.append(name)
        fd = self._roots[root]
        if path:
            self._open.move_to_end((root, path))
            fd = self._open[root, path]
        for name in reversed(missing):
            path = join(path, name)
            fd = self._open[root, path] = os.open(name, safefs.DIRECTORY_FLAGS, dir_fd=fd)
            if len(self._open) > self._most:
                os.close(self._open.popitem(last=False)[1])
        return fd

    def close(self) -> None:
        """Close them all; the roots are the caller's."""
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()


def walk(
    directories: Directories, start: str = "", *, elsewhere: Collection[str] = (), levels: int = _ENDLESS
) -> Iterator[tuple[str, list[os.DirEntry[str]]]]:
    """Yield each directory of root 0 from `start` on with all in it but directories; `levels` 1 is `start` alone.

    Directories `elsewhere` are not entered; what vanishes meanwhile is passed over. OSError for what cannot be read.
    """
    pending = [(start, levels)]
    while pending:
        path, levels = pending.pop()
        try:
            entries = safefs.entries(directories.fd(0, path))
        except OSError as error:
            if error.errno in GONE:
                continue
            raise
        others = []
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                others.append(entry)
            elif levels > 1 and (below := join(path, entry.name)) not in elsewhere:
                pending.append((below, levels - 1))
        yield path, others
