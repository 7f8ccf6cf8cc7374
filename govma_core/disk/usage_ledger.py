# TWO SESSIONS EDIT THESE FILES: read /tmp/usage-twin.md now, before any further edit.
"""The account of a pass: versions walked now and versions that a seal stands for, brought together.

An inode's links are its names in the versions and those outside: `outside` = st_nlink - names in all versions. A seal
keeps `outside` of each inode that its version does not have for itself. So st_nlink follows for versions that were
removed or linked since, without asking any inode. Where an inode that is asked in this pass tells another `outside`
than the seals do, somebody made or removed links elsewhere, and no seal is trusted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from govma_core.disk.usage_part import Part, Row, Sample
from govma_core.disk.usage_rows import Rows


class OutdatedError(Exception):
    """A version is not what its seal says, or links were made elsewhere. Never gets out of the account."""


@dataclass(slots=True)
class Found:
    """What a pass found: versions walked, sealed ones that are as they were (their samples), ones gone, and the rest.

    `rows` are the inodes that the walks met with links beyond their version; `beyond`, by device, those in the rest.
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
class Sealed:
    """What the seals of former passes hold: parts, and rows with the number of links outside all versions as links.

    `bits` gives the bit of each part among the holders. The parts are without their own inodes until complete().
    """

    parts: dict[str, Part] = field(default_factory=dict)
    bits: dict[str, int] = field(default_factory=dict)
    rows: Rows = field(default_factory=Rows)
    stored: frozenset[str] = frozenset()
    """Names of all that the file holds, of which `parts` may be fewer."""
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
        """Give each of the names a bit of its own, sealed ones the bit that they have."""
        bits = {name: self.bits[name] for name in names if name in self.parts}
        taken = set(bits.values())
        free = (1 << place for place in range(2 * len(names)) if 1 << place not in taken)
        return bits | {name: next(free) for name in names if name not in bits}


class Shared(NamedTuple):
    """An inode that no version has for itself: who holds it (bits), blocks of 512 bytes, size, names, links outside."""

    device: int
    number: int
    holders: int
    blocks: int
    size: int
    names: int
    outside: int


class Ledger:
    """All versions of a pass by name, and every inode that more than one of them has, or somebody else.

    `bits` gives the bit of each version among the holders. `changed` tells that the seals must be written anew.
    """

    def __init__(self, sealed: Sealed, found: Found, bits: Mapping[str, int]) -> None:
        self.parts = {name: sealed.parts[name] for name in found.same} | found.walked
        self.bits = {name: bits[name] for name in self.parts}
        self.found = found
        self.sealed = sealed
        self.changed = sealed.stored != found.same.keys()
        self._trusted = sum(self.bits[name] for name in found.same)
        self._fresh = found.rows.rows
        held = sealed.rows
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

    def shared(self) -> Iterator[Shared]:
        """Give every inode that no version has for itself."""
        for device, holders in self._holders.items():
            fresh, sealed = self._fresh.get(device, {}), self.sealed.rows.rows.get(device, {})
            extra = self._extra[device]
            for number, held in holders.items():
                names = held.bit_count() + extra.get(number, 0)
                row = fresh.get(number)
                if row is None:
                    blocks, size, outside = sealed[number]
                else:
                    blocks, size, links = row
                    # Less than nothing where one was made between asking the inode and meeting its name.
                    outside = max(links - names, 0)
                yield Shared(device, number, held, blocks, size, names, outside)

    def rest_alone(self) -> Iterator[Row]:
        """Give the rows of the inodes with further links in what is no version, that no version has."""
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
                before = self.sealed.rows.rows[device][number] if shared else was.row
                if now.row[:2] != before[:2]:
                    raise OutdatedError
                if shared or now.row[2] != before[2]:
                    fresh[number] = now.row

    def _explain(self, device: int, fresh: Mapping[int, Row]) -> None:
        """Account for every link of the inodes met in this pass; OutdatedError when seals tell otherwise."""
        sealed = self.sealed.rows.rows.get(device, {})
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
