"""One pass of dedupe: equal files of the same relative path in different versions become one inode.

A merge walk over all versions, byte by byte comparison, a lease on each file, and an exchange of names. Threads, more
than two processes, and an index of digests were measured, and gained nothing.
"""

from __future__ import annotations

import os
import re
import resource
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Self

from govma_core.disk.compare import (
    Inode,
    LeftAloneError,
    OpenFile,
    Reason,
    Tally,
    place_text,
    traits,
)
from govma_core.disk.hard_links import Counting, HardLinks, MasterUnusableError, Sharing
from govma_core.disk.reflinks import Extents
from govma_core.disk.side_by_side import Level, differing, subtrees, walk
from govma_core.fs import leases, safefs
from govma_core.fs.walk import Directories, join
from govma_core.process.workers import run_workers

_MOST_CLASSES = 1000
"""Different contents of one path that are held open at once, where so many descriptors may be had."""


class Joiner:
    """Compares and joins; what it did and what it left alone is in `tally`. `names` are those of the roots."""

    def __init__(self, directories: Directories, sharing: Sharing, names: list[str]) -> None:
        self._directories = directories
        self._sharing = sharing
        self._names = names
        # Half of what may be open is for directories.
        self._most = min(_MOST_CLASSES, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)
        self.tally = Tally()

    def join(self, inodes: Iterable[Inode], step: Callable[[], None] = lambda: None) -> None:
        """Join the inodes that are equal in everything but their times; `step` is called between groups of them."""
        alike: dict[tuple[int, ...], list[Inode]] = {}
        for inode in inodes:
            if inode.info.st_size and stat.S_ISREG(inode.info.st_mode):
                alike.setdefault(traits(inode.info), []).append(inode)
        for bucket in alike.values():
            if len(bucket) > 1:
                # Masters first: the current version's, then what most names share already, then the oldest.
                bucket.sort(key=lambda inode: (not inode.fixed, -inode.info.st_nlink, inode.places[0][0]))
                self._join_alike(bucket)
                step()

    def finish(self) -> Tally:
        """Do what was put off, and return what all came to."""
        self._sharing.finish(self.tally)
        return self.tally

    def _join_alike(self, bucket: list[Inode]) -> None:
        masters: list[OpenFile] = []
        try:
            for inode in bucket:
                try:
                    file = OpenFile(self._directories, inode)
                except LeftAloneError as error:
                    self._leave_alone(error.reason, inode)
                    continue
                spare = self._place(inode, file, masters)
                if spare is not None:
                    spare.close()
        finally:
            for master in masters:
                master.close()

    def _place(self, inode: Inode, file: OpenFile, masters: list[OpenFile]) -> OpenFile | None:
        """Have the inode share with the master it equals, or be a master; return the file to close."""
        try:
            number = next((number for number, master in enumerate(masters) if master.equals(file)), None)
            if number is not None:
                return file if inode.fixed else self._share(inode, file, masters, number)
        except LeftAloneError as error:
            self._leave_alone(error.reason, inode)
            return file
        if len(masters) >= self._most:
            self._leave_alone("too many different contents", inode)
            return file
        masters.append(file)
        return None

    def _share(self, inode: Inode, file: OpenFile, masters: list[OpenFile], number: int) -> OpenFile:
        master = masters[number]
        try:
            self._sharing.share(inode, file, master, self.tally)
        except MasterUnusableError as error:
            if error.reason is not None:
                self.tally.leave_alone(error.reason, place_text(self._names, master.place))
            # What could not be linked takes the master's place for those that follow.
            masters[number] = file
            return master
        return file

    def _leave_alone(self, reason: Reason, inode: Inode) -> None:
        self.tally.leave_alone(reason, place_text(self._names, inode.places[0]))


_PIECES = 64
_OF_ALL_FILES: tuple[Reason, ...] = ("special", "sparse", "unreadable")
"""What every pass tells again of the same files."""


@dataclass(frozen=True, slots=True)
class Trees:
    """The versions to work on, oldest first: their names and open directories.

    `current` is the number of the live one, None when there is none: its inodes are never replaced, and its files that
    fit `single` are not linked to. `staging` is a private directory on the same file system, None to change nothing.
    """

    names: list[str]
    roots: list[int]
    current: int | None
    single: re.Pattern[str]
    staging: int | None
    not_linked: frozenset[int] = frozenset()
    """Inodes of single files in the live version that have other names, too: nothing at all is linked to them."""
    extents: bool = False
    """Share extents instead of inodes; nothing is linked then, and nothing needs to stay single."""


def dedupe(
    trees: Trees,
    progress: Callable[[Tally], None],
    check: Callable[[], None] = lambda: None,
    *,
    anywhere: bool = False,
    workers: int = 2,
) -> Tally:
    """Join all that is equal at the same path; `progress` and `check` are called often, and may raise.

    With `anywhere` files of different paths are joined, too. OSError for what concerns more than one file.
    """
    with closing(Directories(trees.roots)) as directories:
        pieces = subtrees(directories, len(trees.roots), _PIECES)
    elsewhere = frozenset(pieces)
    so_far: dict[int, Tally] = {}

    def show(number: int, tally: Tally) -> None:
        so_far[number] = tally
        progress(_sum(so_far.values()))

    def join_same_path(share: Iterator[str], report: Callable[[Tally], None]) -> Tally:
        with _Pass(trees) as work:
            for piece in share:
                for level in work.walk(piece, elsewhere):
                    work.join_level(level)
                    report(work.joiner.tally)
            return work.joiner.finish()

    def join_any_path(share: Iterator[str], report: Callable[[Tally], None]) -> Tally:
        with _Pass(trees) as work:
            work.join_anywhere(lambda: report(Tally()))
            tally = work.joiner.finish()
            # Names were counted, and these were named, in the pass before.
            tally.files = 0
            for reason in _OF_ALL_FILES:
                tally.left_alone.pop(reason, None)
            return tally

    result = _sum(run_workers(pieces, workers, join_same_path, show, check))
    if anywhere:
        (elsewhere_tally,) = run_workers([""], 1, join_any_path, lambda number, tally: progress(result), check)
        if trees.staging is None:
            # Nothing was changed by the first pass: the second one has counted the same once more.
            result.linked = result.freed = 0
        result.add(elsewhere_tally)
    return result


class _Pass:
    """One worker's way through the trees."""

    def __init__(self, trees: Trees) -> None:
        leases.ignore_breaks()
        self._trees = trees
        self._directories = Directories(trees.roots)
        self._devices = [os.fstat(root).st_dev for root in trees.roots]
        self._staging = -1
        sharing: Sharing = Counting()
        if trees.extents:
            sharing = Extents()
        elif trees.staging is not None:
            # A directory of its own: two workers that use one wait for each other at every link.
            self._staging = safefs.make_directory(trees.staging, str(os.getpid()), 0o700)
            sharing = HardLinks(self._directories, trees.names, self._staging)
        self.joiner = Joiner(self._directories, sharing, trees.names)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._directories.close()
        if self._staging >= 0:
            os.close(self._staging)

    def walk(self, start: str, elsewhere: frozenset[str]) -> Iterator[Level]:
        """Go through a piece, in all trees side by side."""
        return walk(self._directories, self._trees.names, start, elsewhere, self.joiner.tally)

    def join_level(self, level: Level) -> None:
        """Join what is equal and has the same name."""
        single = self._single(level)
        for name in differing(level.files):
            roots: dict[int, list[int]] = {}
            for root, listing in enumerate(level.files):
                number = listing.get(name)
                if number is not None:
                    roots.setdefault(number, []).append(root)
            roots.pop(single.get(name, -1), None)
            if len(roots) > 1 and not self._trees.not_linked.isdisjoint(roots):
                roots = {number: having for number, having in roots.items() if number not in self._trees.not_linked}
            if len(roots) > 1:
                inodes = (self._inode(level.path, name, having) for having in roots.values())
                self.joiner.join(inode for inode in inodes if inode is not None)

    def join_anywhere(self, step: Callable[[], None]) -> None:
        """Join what is equal, whatever its path; `step` is called often. Takes memory for each name."""
        inodes: dict[int, Inode] = {}
        single: set[int] = set(self._trees.not_linked)
        for level in self.walk("", frozenset()):
            step()
            single.update(self._single(level).values())
            for root, listing in enumerate(level.files):
                for name, number in listing.items():
                    inode = inodes.get(number)
                    if inode is not None:
                        inode.places.append((root, level.path, name))
                        inode.fixed = inode.fixed or root == self._trees.current
                    elif (inode := self._inode(level.path, name, [root])) is not None:
                        inodes[number] = inode
        self.joiner.join((inode for number, inode in inodes.items() if number not in single), step)

    def _single(self, level: Level) -> dict[str, int]:
        """Return the live version's files that must stay single: nothing is linked to them, and they to nothing."""
        current, fits = self._trees.current, self._trees.single.fullmatch
        if current is None or self._trees.extents:
            return {}
        return {name: number for name, number in level.files[current].items() if fits(join(level.path, name))}

    def _inode(self, path: str, name: str, roots: list[int]) -> Inode | None:
        try:
            info = os.stat(name, dir_fd=self._directories.fd(roots[0], path), follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if info.st_dev != self._devices[roots[0]]:
            self.joiner.tally.leave_alone(
                "on another file system", place_text(self._trees.names, (roots[0], path, name))
            )
            return None
        return Inode(info, [(root, path, name) for root in roots], fixed=self._trees.current in roots)


def _sum(tallies: Iterable[Tally]) -> Tally:
    total = Tally()
    for tally in tallies:
        total.add(tally)
    return total
