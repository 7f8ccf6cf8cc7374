"""The inodes of a pass of the account: what a directory holds, each inode asked for once however many names it has.

A listing tells the inode of each name without a system call (d_ino), so that only inodes not met before are asked for
their size.
"""

from __future__ import annotations

import errno
import os
from collections import Counter, defaultdict
from contextlib import suppress

from govma_core.disk.usage.part import Part, Row, Sample

GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE})
"""What a name says that vanished, or became another kind of thing, while we were at it."""

_SAMPLES = 8


class InodesDifferError(Exception):
    """The listing tells other inodes than stat (some overlays; files mounted on files): each name must be asked.

    Never gets out of the account.
    """


class Inodes:
    """What is known of the inodes of the versions walked so far.

    `rows` are those with several names, by device and number; `holders` tells by bits which of the versions have them.
    With `every` each name is asked for its inode.
    """

    def __init__(self, *, every: bool = False) -> None:
        self.rows: defaultdict[int, dict[int, Row]] = defaultdict(dict)
        self.holders: defaultdict[int, dict[int, int]] = defaultdict(dict)
        self.read = self._read_every if every else self._read
        self.begin()

    def begin(self) -> None:
        """Turn to another version."""
        self._names: defaultdict[int, list[int]] = defaultdict(list)
        self._stride = 1

    def _read(self, part: Part, fd: int, device: int) -> list[str]:
        """Count everything in an open directory that is none itself; give the names of the directories in it."""
        known, own = self.rows[device], part.own_on(device)
        name_of = self._names[device].append
        add_number, add_blocks, add_size = own.numbers.append, own.blocks.append, own.sizes.append
        below, new, files, last = [], {}, 0, None
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    if entry.is_file(follow_symlinks=False):
                        files += 1
                    elif entry.is_dir(follow_symlinks=False):
                        below.append(entry.name)
                        continue
                    last = entry
                    number = entry.inode()
                    name_of(number)
                    if number not in known:
                        new[number] = entry
        except OSError:
            part.unread += 1
        for number, entry in new.items():
            try:
                info = entry.stat(follow_symlinks=False)
            except OSError as error:
                files -= entry.is_file(follow_symlinks=False)
                part.unread += error.errno not in GONE
                continue
            if info.st_ino != number or info.st_dev != device:
                _require_replaced(fd, entry.name, info)
                number = info.st_ino
                name_of(number)
            if info.st_nlink > 1:
                known[number] = info.st_blocks, info.st_size, info.st_nlink
            else:
                add_number(number)
                add_blocks(info.st_blocks)
                add_size(info.st_size)
        part.files += files
        if last is not None:
            self._sample(part, last)
        return below

    def _read_every(self, part: Part, fd: int, device: int) -> list[str]:
        """Do as _read() does, trusting stat alone."""
        below: list[str] = []
        try:
            found = os.scandir(fd)
        except OSError:
            part.unread += 1
            return below
        with found as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    below.append(entry.name)
                    continue
                try:
                    info = entry.stat(follow_symlinks=False)
                except OSError as error:
                    part.unread += error.errno not in GONE
                    continue
                part.files += entry.is_file(follow_symlinks=False)
                self._names[info.st_dev].append(info.st_ino)
                if info.st_nlink > 1:
                    self.rows[info.st_dev][info.st_ino] = info.st_blocks, info.st_size, info.st_nlink
                else:
                    part.own_on(info.st_dev).add(info.st_ino, info.st_blocks, info.st_size)
        return below

    def _sample(self, part: Part, entry: os.DirEntry[str]) -> None:
        """Keep a file of every so many directories, evenly over the version."""
        place = len(part.directories.depths) - 1
        if place % self._stride == 0:
            with suppress(OSError):
                info = entry.stat(follow_symlinks=False)
                row = info.st_blocks, info.st_size, info.st_nlink
                part.samples.append(Sample(place, entry.name, info.st_dev, info.st_ino, row))
        if len(part.samples) > _SAMPLES:
            del part.samples[1::2]
            self._stride *= 2

    def settle(self, part: Part) -> dict[int, list[int]]:
        """Sum the part up when its walk is over; give, by device, the inodes in it that have several names."""
        beyond = {}
        for device, names in self._names.items():
            known = self.rows[device]
            distinct = dict.fromkeys(names)
            if len(distinct) < len(names):
                for number, count in Counter(names).items():
                    if count > 1:
                        part.names_twice[device, number] = count
            beyond[device] = [number for number in distinct if number in known]
        for own in part.own.values():
            part.blocks += sum(own.blocks)
            part.sizes += sum(own.sizes)
        return beyond


def _require_replaced(fd: int, name: str, info: os.stat_result) -> None:
    """Raise InodesDifferError unless it was a race: the name now leads, by the listing too, where stat says."""
    with os.scandir(fd) as entries:
        listed = next((entry.inode() for entry in entries if entry.name == name), None)
    try:
        now = os.stat(name, dir_fd=fd, follow_symlinks=False)
    except OSError as error:
        if error.errno in GONE:
            return
        raise
    differs = listed is not None and (listed != now.st_ino or now.st_dev != os.fstat(fd).st_dev)
    # Replaced once more between the two, stat says something else than it did first.
    if differs and now.st_ino == info.st_ino:
        raise InodesDifferError
