"""Files that are not written at all: what a tarball holds is linked to the live version's equal file."""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress

from govma_core.disk import leases
from govma_core.disk.directories import Directories
from govma_core.disk.files import HELD, Inode, LeftAloneError, OpenFile


class EarlierFiles:
    """The files of an open version below `prefix`; those that fit `single`, and inodes `apart`, are not linked to."""

    def __init__(self, version_fd: int, prefix: str, single: re.Pattern[str], apart: frozenset[int]) -> None:
        self._apart = apart
        self._version = version_fd
        self._prefix = prefix
        self._single = single.fullmatch
        self._directories: Directories | None = None

    def holds(self, size: int) -> bool:
        """Tell whether files of this size are looked for."""
        return 0 < size <= HELD

    def link(self, path: tuple[str, ...], content: bytes, mode: int, owner: tuple[int, int], dir_fd: int) -> bool:
        """Make the last name of `path` in dir_fd a link to the version's file of that path; False when none is equal.

        Equal means content, mode, owner, and no extended attributes. FileExistsError when the name is taken.
        """
        inside = "/".join((self._prefix, *path[:-1]))
        if self._single(f"{inside}/{path[-1]}"):
            return False
        if self._directories is None:
            # Made by the process that uses it.
            leases.ignore_breaks()
            self._directories = Directories([self._version])
        with suppress(OSError, LeftAloneError):
            found = os.stat(path[-1], dir_fd=self._directories.fd(0, inside), follow_symlinks=False)
            wanted = (len(content), stat.S_IFREG | mode, *owner)
            if found.st_ino in self._apart or (found.st_size, found.st_mode, found.st_uid, found.st_gid) != wanted:
                return False
            master = OpenFile(self._directories, Inode(found, [(0, inside, path[-1])], fixed=True))
            try:
                if master.content() == content and not master.xattrs() and master.quiet():
                    os.link(f"/proc/self/fd/{master.fd}", path[-1], dst_dir_fd=dir_fd, follow_symlinks=True)
                    return True
            finally:
                master.close()
        return False
