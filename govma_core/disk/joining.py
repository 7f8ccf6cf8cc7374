"""Inodes that may be equal become classes of equal ones, and each class shares its space."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterable

from govma_core.disk.directories import Directories
from govma_core.disk.files import Inode, LeftAloneError, OpenFile, is_regular, shown, traits
from govma_core.disk.sharing import MasterUnusableError, Sharing
from govma_core.disk.tally import Reason, Tally

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
            if inode.info.st_size and is_regular(inode.info):
                alike.setdefault(traits(inode.info), []).append(inode)
        for bucket in alike.values():
            if len(bucket) > 1:
                # Masters first: the current version's, then what most names share already, then the oldest.
                bucket.sort(key=lambda inode: (not inode.fixed, -inode.info.st_nlink, inode.places[0][0]))
                self._join_alike(bucket)
                step()

    def finish(self) -> Tally:
        """Do what was put off, and give what all came to."""
        self._sharing.finish(self.tally)
        return self.tally

    def _join_alike(self, bucket: list[Inode]) -> None:
        masters: list[OpenFile] = []
        try:
            for inode in bucket:
                try:
                    file = OpenFile(self._directories, inode)
                except LeftAloneError as left:
                    self._leave(left.reason, inode)
                    continue
                spare = self._placed(inode, file, masters)
                if spare is not None:
                    spare.close()
        finally:
            for master in masters:
                master.close()

    def _placed(self, inode: Inode, file: OpenFile, masters: list[OpenFile]) -> OpenFile | None:
        """Have the inode share with the master it equals, or be a master; give the file that is done with."""
        try:
            number = next((number for number, master in enumerate(masters) if master.equals(file)), None)
            if number is not None:
                return file if inode.fixed else self._shared(inode, file, masters, number)
        except LeftAloneError as left:
            self._leave(left.reason, inode)
            return file
        if len(masters) >= self._most:
            self._leave("too many different contents", inode)
            return file
        masters.append(file)
        return None

    def _shared(self, inode: Inode, file: OpenFile, masters: list[OpenFile], number: int) -> OpenFile:
        master = masters[number]
        try:
            self._sharing.share(inode, file, master, self.tally)
        except MasterUnusableError as error:
            if error.reason is not None:
                self.tally.leave(error.reason, shown(self._names, master.place))
            # What could not be linked takes the master's place for those that follow.
            masters[number] = file
            return master
        return file

    def _leave(self, reason: Reason, inode: Inode) -> None:
        self.tally.leave(reason, shown(self._names, inode.places[0]))
