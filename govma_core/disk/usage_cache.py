"""The account of a pass: versions walked now and versions that a seal stands for, brought together.

An inode's links are its names in the versions and those outside: `outside` = st_nlink - names in all versions. A seal
keeps `outside` of each inode with several names. So st_nlink follows for versions that were removed or linked since,
without asking any inode. Where an inode that is asked in this pass tells another `outside` than the seals do, somebody
made or removed links elsewhere, and no seal is trusted.
"""

from __future__ import annotations

import json
import os
import struct
import time
import zlib
from array import array
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from govma_core.disk.usage_data import (
    DAMAGED,
    ROW_COLUMNS,
    Array,
    Part,
    Row,
    Rows,
    Sample,
    own_of,
    pack,
    part_of,
    replace_file,
    unpack,
)
from govma_core.text.language import tr


class OutdatedError(Exception):
    """A version is not what its seal says, or links were made elsewhere. Never gets out of the account."""


@dataclass(slots=True)
class Found:
    """What a pass found: versions walked, sealed ones that are as they were (their samples), ones gone, and the rest.

    `rows` are the inodes with several names that the walks met; `beyond`, by device, those in the rest.
    """

    walked: dict[str, Part] = field(default_factory=dict)
    same: dict[str, list[Sample]] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    rest: Part | None = None
    beyond: dict[int, list[int]] = field(default_factory=dict)
    rows: Rows = field(default_factory=Rows)

    def add(self, other: Found) -> None:
        """Take in what another process found."""
        self.walked |= other.walked
        self.same |= other.same
        self.gone |= other.gone
        self.rest = self.rest or other.rest
        self.beyond |= other.beyond
        self.rows.add(other.rows)


@dataclass(slots=True)
class SealedParts:
    """What the seals of former passes hold.

    `bits` gives the bit of each part among the holders. The parts are without their own inodes until complete().
    `stored` are the names of all that the file holds, of which `parts` may be fewer; `key` tells the file from others.
    `load_rows` gives the inodes with several names; the links in their rows are those outside all versions.
    """

    parts: dict[str, Part] = field(default_factory=dict)
    bits: dict[str, int] = field(default_factory=dict)
    stored: frozenset[str] = frozenset()
    key: str = ""
    load_rows: Callable[[], Rows] = Rows
    load_own: Callable[[], None] | None = None

    def keep(self, names: Collection[str]) -> None:
        """Forget all parts but these."""
        for name in self.parts.keys() - set(names):
            del self.parts[name]

    def complete(self) -> None:
        """Have the own inodes in the parts; OutdatedError when they cannot be read."""
        if self.load_own is not None:
            self.load_own()
            self.load_own = None

    def bits_for(self, names: Sequence[str]) -> dict[str, int]:
        """Assign each of the names a bit of its own; sealed ones keep theirs."""
        bits = {name: self.bits[name] for name in names if name in self.parts}
        taken = set(bits.values())
        free = (1 << place for place in range(2 * len(names)) if 1 << place not in taken)
        return bits | {name: next(free) for name in names if name not in bits}


@dataclass(slots=True)
class Group:
    """Inodes that the same versions hold: blocks of 512 bytes, sizes, and the blocks of those with no link outside."""

    blocks: int = 0
    sizes: int = 0
    inside: int = 0


class Ledger:
    """All versions of a pass by name, and every inode that more than one of them has, or somebody else.

    `bits` gives the bit of each version among the holders. `changed` tells that the seals must be written anew.
    """

    def __init__(self, sealed: SealedParts, found: Found, bits: Mapping[str, int]) -> None:
        self.parts = {name: sealed.parts[name] for name in found.same} | found.walked
        self.bits = {name: bits[name] for name in self.parts}
        self.found = found
        self.sealed = sealed
        self.changed = sealed.stored != found.same.keys()
        self._trusted = sum(self.bits[name] for name in found.same)
        self._fresh = found.rows.rows
        held = sealed.load_rows()
        self._sealed_rows = held.rows
        if self.changed:
            held.keep(self._trusted)
        held.add(Rows({}, found.rows.holders))
        self._holders = defaultdict(dict, held.holders)
        self._extra: defaultdict[int, dict[int, int]] = defaultdict(dict)
        for part in self.parts.values():
            for (device, number), count in part.names_twice.items():
                extra = self._extra[device]
                extra[number] = extra.get(number, 0) + count - 1
        self._take_samples()
        for device, rows in self._fresh.items():
            self._explain(device, rows)

    @property
    def devices(self) -> list[int]:
        """Return the devices on which there are inodes with several names."""
        return list(self._holders)

    def groups(self) -> dict[int, Group]:
        """Sum up the inodes with several names, by the bits of those who hold them."""
        groups: dict[int, Group] = {}
        for device in self.devices:
            for _, held, blocks, size, outside in self.shared(device):
                group = groups.get(held)
                if group is None:
                    group = groups[held] = Group()
                group.blocks += blocks
                group.sizes += size
                if not outside:
                    group.inside += blocks
        return groups

    def shared(self, device: int) -> Iterator[tuple[int, int, int, int, int]]:
        """Yield the inodes of a device that have several names: number, holders, blocks, size, links outside."""
        fresh, sealed = self._fresh.get(device, {}), self._sealed_rows.get(device, {})
        extra, fresh_row = self._extra[device], fresh.get
        for number, held in self._holders[device].items():
            row = fresh_row(number)
            if row is None:
                blocks, size, outside = sealed[number]
            else:
                blocks, size, links = row
                outside = links - held.bit_count()
                if extra:
                    outside -= extra.get(number, 0)
                if outside < 0:
                    # Linked once more after the inode was asked and before the new name was met.
                    outside = 0
            yield number, held, blocks, size, outside

    def repeats(self) -> int:
        """Return the blocks that further names in one version would take."""
        return sum(
            extra[number] * blocks
            for device, extra in self._extra.items()
            if extra
            for number, _, blocks, _, _ in self.shared(device)
            if number in extra
        )

    def rest_alone(self) -> Iterator[Row]:
        """Yield the rows of the inodes with further links in what is no version, that no version has."""
        for device, numbers in self.found.beyond.items():
            holders, rows = self._holders[device], self._fresh[device]
            for number in numbers:
                if number not in holders:
                    yield rows[number]

    def _take_samples(self) -> None:
        """Compare what the samples say; those that tell something new are as good as inodes met in a walk."""
        for name, samples in self.found.same.items():
            for now, was in zip(samples, self.sealed.parts[name].samples, strict=True):
                device, number = now.device, now.number
                fresh = self._fresh.setdefault(device, {})
                if number in fresh:
                    continue
                shared = number in self._holders[device]
                before = self._sealed_rows[device][number] if shared else was.row
                if now.row[:2] != before[:2]:
                    raise OutdatedError
                if shared or now.row[2] != before[2]:
                    fresh[number] = now.row

    def _explain(self, device: int, fresh: Mapping[int, Row]) -> None:
        """Account for every link of the inodes met in this pass; OutdatedError when seals tell otherwise."""
        sealed = self._sealed_rows.get(device, {})
        holders, extra, trusted = self._holders[device], self._extra[device], self._trusted
        unexplained = set()
        for number, (blocks, size, links) in fresh.items():
            held = holders.get(number, 0)
            names = held.bit_count() + extra.get(number, 0)
            if not held & trusted:
                if links != names:
                    unexplained.add(number)
                continue
            before = sealed[number]
            if links != names + before[2]:
                raise OutdatedError
            if before[0] != blocks or before[1] != size:
                self.changed = True
        if unexplained:
            self._search(device, unexplained)

    def _search(self, device: int, wanted: set[int]) -> None:
        """Find inodes of which links are missing among those that versions were thought to have for themselves."""
        self.sealed.complete()
        holders, extra = self._holders[device], self._extra[device]
        for name, part in self.parts.items():
            for number in part.give_up(device, wanted):
                self.changed = True
                held = holders[number] = holders.get(number, 0) | self.bits[name]
                names = held.bit_count() + extra.get(number, 0)
                if name in self.found.same and self._fresh[device][number][2] != names:
                    raise OutdatedError


def key_of(seals: str, found: Found, names: Sequence[str]) -> str:
    """Return the key of what was found of these names with the seals of this key.

    '' when there are no seals, or more than one version was walked: then there is something new.
    """
    if not seals or len(found.walked) > 1:
        return ""
    parts = [_of_part(part) for part in (*found.walked.values(), found.rest) if part]
    samples = [[name, [sample.as_list() for sample in found.same[name]]] for name in sorted(found.same)]
    beyond = [[device, numbers] for device, numbers in sorted(found.beyond.items()) if numbers]
    key = blake2b(json.dumps([seals, list(names), parts, samples, beyond]).encode(), digest_size=16)
    for device, rows in sorted(found.rows.rows.items()):
        if rows:
            # Two processes meet them in any order.
            numbers = sorted(rows)
            key.update(array("Q", [device, *numbers]))
            key.update(array("Q", chain.from_iterable(map(rows.__getitem__, numbers))))
    return key.hexdigest()


def key_to_come(seals: str, ledger: Ledger, sealed: Collection[str], names: Sequence[str]) -> str:
    """Return the key that the next pass will have if nothing changes, when these versions are sealed under this key."""
    now = ledger.found
    walked = {name: part for name, part in ledger.parts.items() if name not in sealed}
    same = {name: now.same.get(name, ledger.parts[name].samples) for name in sealed}
    bits = sum(ledger.bits[name] for name in walked)
    rows = {}
    for device, fresh in now.rows.rows.items():
        beyond = set(now.beyond.get(device, ()))
        held = {number for number, holders, *_ in ledger.shared(device) if holders & bits} | beyond
        rows[device] = {number: row for number, row in fresh.items() if number in held}
    return key_of(seals, Found(walked, same, rest=now.rest, beyond=now.beyond, rows=Rows(rows)), names)


def _of_part(part: Part) -> list[object]:
    twice = [[*inode, count] for inode, count in sorted(part.names_twice.items())]
    return [part.name, part.device, part.inode, part.blocks, part.sizes, part.files, part.unread, twice]


_FORMAT = b"govma-console usage 1\n"
_FRAME = struct.Struct("=QI")

_Headed: TypeAlias = tuple[Part, dict[str, Any]]

OLDEST = 86_400.0
"""Seconds that a seal holds: what nothing on the disk tells (an old version's file that grew in place) shows then."""


def load(path: Path, versions: os.stat_result) -> SealedParts:
    """Return the seals of this versions directory; none when there are none that can be read and trusted."""
    try:
        with path.open("rb") as file:
            frame, block = _read_block(file, first=True)
        head, arrays = unpack(block)
        if head["versions"] != [versions.st_dev, versions.st_ino]:
            return SealedParts()
        return _sealed(head, arrays, partial(_load_own, path, frame))
    except (OSError, *DAMAGED):
        return SealedParts()


def save(path: Path, versions: os.stat_result, ledger: Ledger, parts: Mapping[str, Part]) -> str:
    """Replace the seals by those of these parts of the ledger; give their key. OSError when they cannot be written."""
    try:
        ledger.sealed.complete()
    except OutdatedError:
        path.unlink(missing_ok=True)
        return ""
    rows, arrays = _rows(ledger, sum(ledger.bits[name] for name in parts)).pack()
    heads = []
    own = []
    for name, part in parts.items():
        heads.append([ledger.bits[name].bit_length() - 1, part.head()])
        arrays += part.directory_arrays()
        own += part.own_arrays()
    key = os.urandom(8).hex()
    head = {"key": key, "versions": [versions.st_dev, versions.st_ino], "rows": rows, "parts": heads}
    content = [_FORMAT]
    for block in (pack(head, arrays), pack({}, own)):
        content += _FRAME.pack(len(block), zlib.crc32(block)), block
    replace_file(path, content)
    return key


def _rows(ledger: Ledger, bits: int) -> Rows:
    """Return what these versions do not have for themselves; the links in each row are those outside all versions."""
    found = Rows()
    for device in ledger.devices:
        rows = found.rows[device] = {}
        holders = found.holders[device] = {}
        for number, held, blocks, size, outside in ledger.shared(device):
            if held & bits:
                rows[number] = blocks, size, outside
                holders[number] = held & bits
    return found


def _sealed(head: dict[str, Any], arrays: list[Array], load_own: Callable[[list[_Headed]], None]) -> SealedParts:
    now = time.time()
    left = iter(arrays)
    rows = list(islice(left, ROW_COLUMNS * len(head["rows"]["devices"])))
    headed = [(part_of(found, list(islice(left, 3))), found) for _, found in head["parts"]]
    sealed = SealedParts(
        stored=frozenset(part.name for part, _ in headed),
        key=head["key"],
        load_rows=lambda: Rows.unpack(head["rows"], rows),
        load_own=lambda: load_own(headed),
    )
    for (part, _), (bit, _) in zip(headed, head["parts"], strict=True):
        if 0 <= now - part.taken < OLDEST:
            sealed.parts[part.name], sealed.bits[part.name] = part, 1 << bit
    return sealed


def _load_own(path: Path, frame: bytes, headed: list[_Headed]) -> None:
    """Read the own inodes into the parts; OutdatedError when that cannot be, or the file is another by now."""
    try:
        with path.open("rb") as file:
            if _read_block(file, first=True)[0] != frame:
                raise OutdatedError
            left = iter(unpack(_read_block(file)[1])[1])
        for part, head in headed:
            part.own = own_of(head, list(islice(left, 3 * len(head["devices"]))))
    except (OSError, *DAMAGED):
        raise OutdatedError from None


def _read_block(file: BinaryIO, *, first: bool = False) -> tuple[bytes, bytes]:
    """Read the next block; give its frame and what is in it. ValueError when that is not what was written."""
    if first and file.read(len(_FORMAT)) != _FORMAT:
        raise ValueError(tr("another format"))
    frame = file.read(_FRAME.size)
    length, checksum = _FRAME.unpack(frame)
    block = file.read(length)
    if len(block) != length or zlib.crc32(block) != checksum:
        raise ValueError("damaged")
    return frame, block
