"""Open directories of several trees at once, within a bounded number of descriptors."""

from __future__ import annotations

import os
import resource
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress

from govma_core.safefs import DIRECTORY_FLAGS

_RESERVE = 128
"""Descriptors left to everything else in the process."""


def raise_descriptor_limit(wanted: int = 16384) -> int:
    """Raise this process's limit of open files as far as it may go, at most to `wanted`; give what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard > wanted:
        hard = max(soft, wanted)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class Directories:
    """Descriptors of directories `(root number, relative path)`, opened when asked for, the least used closed first.

    Every step below a root is O_NOFOLLOW. A descriptor is good until the next call: use it at once.
    """

    def __init__(self, roots: Sequence[int], most: int | None = None) -> None:
        self._roots = roots
        self._open: OrderedDict[tuple[int, str], int] = OrderedDict()
        self._most = max(8, (raise_descriptor_limit() - _RESERVE) // 2 if most is None else most)

    def fd(self, root: int, path: str) -> int:
        """Return the directory at `path` ('' for the root itself); OSError when it is none, or not there any more."""
        if not path:
            return self._roots[root]
        key = (root, path)
        found = self._open.get(key)
        if found is not None:
            self._open.move_to_end(key)
            return found
        parent, _, name = path.rpartition("/")
        above = self._nearest(root, parent)
        try:
            fd = os.open(name, DIRECTORY_FLAGS, dir_fd=above)
        except FileNotFoundError:
            # A directory above may have been replaced since it was opened: what counts is where the path leads now.
            self._forget(root, parent)
            fd = os.open(name, DIRECTORY_FLAGS, dir_fd=self._nearest(root, parent))
        self._open[key] = fd
        if len(self._open) > self._most:
            os.close(self._open.popitem(last=False)[1])
        return fd

    def _nearest(self, root: int, path: str) -> int:
        """Return the directory, opened step by step from the nearest one that is open; however deep it is."""
        missing = []
        while path and (root, path) not in self._open:
            path, _, name = path.rpartition("/")
            missing.append(name)
        fd = self._open[root, path] if path else self._roots[root]
        for name in reversed(missing):
            path = f"{path}/{name}" if path else name
            self._open[root, path] = fd = os.open(name, DIRECTORY_FLAGS, dir_fd=fd)
            if len(self._open) > self._most:
                os.close(self._open.popitem(last=False)[1])
        return fd

    def _forget(self, root: int, path: str) -> None:
        while path:
            fd = self._open.pop((root, path), None)
            if fd is not None:
                os.close(fd)
            path = path.rpartition("/")[0]

    def close(self) -> None:
        """Close them all; the roots are the caller's."""
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()
