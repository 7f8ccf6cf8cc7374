"""Link at birth: a new version's files become links to the equal ones of the versions before, before it is published.

Nobody reads or writes the new tree yet. The same pass takes down what is in it (see contents.py).
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any

from govma_core import safefs
from govma_core.disk import leases
from govma_core.disk.contents import Sealed, pack, seal, seal_link
from govma_core.disk.directories import Directories
from govma_core.disk.extents import share_content
from govma_core.disk.files import HELD, Inode, LeftAloneError, OpenFile, is_regular, traits, xattrs_of
from govma_core.disk.forked_workers import Tell, run_workers
from govma_core.disk.lockstep import subtrees

_PIECES = 48


@dataclass(slots=True)
class Born:
    """What came of it: files linked, and the bytes that they do not take a second time.

    Of all regular files the number and the bytes; and what is in the tree, as parts of a record (see contents.pack).
    """

    linked: int = 0
    saved: int = 0
    files: int = 0
    bytes: int = 0
    parts: list[str] = field(default_factory=list)


def link_tree(
    tree: int,
    others: Sequence[int],
    single: re.Pattern[str],
    check: Callable[[], None] = lambda: None,
    *,
    apart: frozenset[int] = frozenset(),
    extents: bool = False,
    workers: int = 2,
) -> Born:
    """Link the files of `tree` to those of `others` (open versions: the live one first, then the latest ones).

    What fits `single` is never linked, nothing is linked to the inodes `apart`; without
    `others` only the files are taken down. `check` is called now and then, and may raise. With `extents` blocks are
    shared instead of inodes. OSError for what concerns more than one file.
    """
    with closing(Directories([tree])) as directories:
        pieces = subtrees(directories, 1, _PIECES)
    elsewhere = frozenset(pieces)

    def work(taken: Iterator[str], tell: Tell) -> dict[str, Any]:
        leases.ignore_breaks()
        with closing(Directories([tree, *others])) as directories:
            birth = _Birth(directories, len(others), single, apart, extents=extents)
            for piece in taken:
                for path in birth.walk(piece, elsewhere):
                    tell({"at": path})
            birth.born.parts.append(pack(birth.sealed))
            return dataclasses.asdict(birth.born)

    done = Born()
    for found in run_workers(pieces, workers, work, lambda number, told: None, check):
        done.linked += found["linked"]
        done.saved += found["saved"]
        done.files += found["files"]
        done.bytes += found["bytes"]
        done.parts += found["parts"]
    return done


class _Birth:
    def __init__(
        self, directories: Directories, others: int, single: re.Pattern[str], apart: frozenset[int], *, extents: bool
    ) -> None:
        self._apart = apart
        self._extents = extents
        self._directories = directories
        self._others = range(1, others + 1)
        self._single = single.fullmatch
        self.sealed: dict[str, Sealed] = {}
        self.born = Born()

    def walk(self, start: str, elsewhere: frozenset[str]) -> Iterator[str]:
        """Work through a piece; gives each directory that is done."""
        pending = [start]
        while pending:
            path = pending.pop()
            inside = f"{path}/" if path else ""
            for entry in safefs.entries(self._directories.fd(0, path)):
                shown = inside + entry.name
                if entry.is_file(follow_symlinks=False):
                    self._file(path, entry.name, shown)
                elif entry.is_symlink():
                    self.sealed[shown] = seal_link(self._directories.fd(0, path), entry.name)
                elif shown not in elsewhere:
                    pending.append(shown)
            yield path

    def _file(self, path: str, name: str, shown: str) -> None:
        fd, info = safefs.open_regular(self._directories.fd(0, path), name)
        try:
            content = os.pread(fd, info.st_size + 1, 0) if info.st_size <= HELD else None
            self.sealed[shown] = seal(fd, info, content)
            self.born.files += 1
            self.born.bytes += info.st_size
            if info.st_nlink > 1:
                # A link already: what came from a tarball, or two names in the new tree.
                self.born.linked += 1
                self.born.saved += info.st_blocks * 512
            elif info.st_size and not self._single(shown):
                self._link(path, name, info, fd, content)
        finally:
            os.close(fd)

    def _link(self, path: str, name: str, info: os.stat_result, fd: int, content: bytes | None) -> None:
        tried: set[int] = set(self._apart)
        for root in self._others:
            try:
                found = os.stat(name, dir_fd=self._directories.fd(root, path), follow_symlinks=False)
                if found.st_ino in tried or not is_regular(found) or traits(found) != traits(info):
                    continue
                tried.add(found.st_ino)
                master = OpenFile(self._directories, Inode(found, [(root, path, name)], fixed=True))
            except (OSError, LeftAloneError):
                continue
            try:
                if master.equals_open(fd, content) and master.xattrs() == xattrs_of(fd) and master.quiet():
                    if self._extents:
                        shared = share_content(fd, master.fd, info.st_size)
                    else:
                        self._replace(path, name, master)
                        shared = True
                    self.born.linked += shared
                    self.born.saved += info.st_blocks * 512 * shared
                    return
            except (OSError, LeftAloneError):
                # The link count at its limit, an immutable master: the new file stays, and is the next one's master.
                continue
            finally:
                master.close()

    def _replace(self, path: str, name: str, master: OpenFile) -> None:
        directory = self._directories.fd(0, path)
        staged = safefs.random_name("birth")
        os.link(f"/proc/self/fd/{master.fd}", staged, dst_dir_fd=directory, follow_symlinks=True)
        try:
            os.rename(staged, name, src_dir_fd=directory, dst_dir_fd=directory)
        finally:
            # Still there when it failed, and when both were names of one inode already.
            with suppress(FileNotFoundError):
                os.unlink(staged, dir_fd=directory)
