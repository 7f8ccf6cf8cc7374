"""What one walk of a version found, as far as no other version has to do with it."""

from __future__ import annotations

import json
import os
import struct
import sys
from array import array
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path
from typing import Any, TypeAlias

from govma_core.fs.jsonfile import staged_beside
from govma_core.text.language import tr

Array: TypeAlias = "array[int]"

_LENGTH = struct.Struct("=Q")


def pack(head: dict[str, Any], arrays: Sequence[Array]) -> bytes:
    """Return the head (what JSON can hold) and the arrays as one block of bytes."""
    shape = [[found.typecode, len(found)] for found in arrays]
    written = json.dumps({"order": sys.byteorder, "arrays": shape, "head": head}, separators=(",", ":")).encode()
    return b"".join([_LENGTH.pack(len(written)), written, *(found.tobytes() for found in arrays)])


def unpack(block: bytes | memoryview) -> tuple[dict[str, Any], list[Array]]:
    """Return what pack() was given; ValueError, KeyError, TypeError or struct.error for anything else."""
    (length,) = _LENGTH.unpack_from(block)
    start = _LENGTH.size + length
    written = json.loads(bytes(block[_LENGTH.size : start]))
    if written["order"] != sys.byteorder:
        raise ValueError(tr("made on a machine of another byte order"))
    view = memoryview(block)
    arrays = []
    for typecode, count in written["arrays"]:
        found = array(typecode)
        end = start + count * found.itemsize
        if end > len(block):
            raise ValueError(tr("cut short"))
        found.frombytes(view[start:end])
        arrays.append(found)
        start = end
    return written["head"], arrays


DAMAGED = (ValueError, KeyError, TypeError, IndexError, OverflowError, struct.error)
"""What unpack(), and reading what it gave, can raise for a block that was not made by pack()."""


def pack_names(names: Iterable[str]) -> Array:
    """Return file names, of any bytes but NUL and none of them empty, as one array."""
    return array("B", os.fsencode("\0".join(names)))


def unpack_names(packed: Array) -> list[str]:
    """Return what pack_names() was given."""
    return os.fsdecode(packed.tobytes()).split("\0") if packed else []


def replace_file(path: Path, content: Sequence[bytes], mode: int = 0o600) -> None:
    """Write a file of the cache in one rename; OSError when it cannot be. Nothing is synced: it can be found again."""
    path.parent.mkdir(exist_ok=True)
    for left in path.parent.glob(f".{path.name}-*"):
        # Of a process that was killed; another one that writes at this moment fails, and that is no loss.
        left.unlink(missing_ok=True)
    staged = staged_beside(path)
    fd = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(fd, "wb") as file:
            for block in content:
                file.write(block)
        os.replace(staged, path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise


Row = tuple[int, int, int]
"""An inode as stat gives it: st_blocks (of 512 bytes), st_size, st_nlink."""


@dataclass(slots=True)
class Own:
    """The inodes of one device that have a single name, in one version: numbers, blocks of 512 bytes, sizes."""

    numbers: Array = field(default_factory=lambda: array("Q"))
    blocks: Array = field(default_factory=lambda: array("Q"))
    sizes: Array = field(default_factory=lambda: array("Q"))

    def add(self, number: int, blocks: int, size: int) -> None:
        """Add an inode."""
        self.numbers.append(number)
        self.blocks.append(blocks)
        self.sizes.append(size)

    def take_out(self, wanted: Set[int]) -> dict[int, tuple[int, int]]:
        """Remove these inodes as far as they are here; give blocks and size of each that was."""
        chosen = [number in wanted for number in self.numbers]
        found = {
            number: (blocks, size)
            for number, blocks, size in compress(zip(self.numbers, self.blocks, self.sizes, strict=True), chosen)
        }
        if found:
            kept = [not flag for flag in chosen]
            self.numbers = array("Q", compress(self.numbers, kept))
            self.blocks = array("Q", compress(self.blocks, kept))
            self.sizes = array("Q", compress(self.sizes, kept))
        return found


@dataclass(slots=True)
class Sample:
    """A file that stands for many when a seal is looked at: the place of its directory, its name, what stat gave."""

    place: int
    name: str
    device: int
    number: int
    row: Row

    def as_list(self) -> list[Any]:
        """Return it as JSON holds it."""
        return [self.place, self.name, self.device, self.number, *self.row]

    @classmethod
    def of(cls, values: list[Any]) -> Sample:
        """Make it of what as_list() gave."""
        place, name, device, number, blocks, size, links = values
        return cls(place, name, device, number, (blocks, size, links))


@dataclass(slots=True)
class Directories:
    """The directories of a version in the order of the walk, the version itself first, each before those in it.

    `names` are packed (see pack.py), `depths` count from 0, `changed` is st_ctime_ns: every link, unlink, rename and
    create inside a directory moves it.
    """

    names: Array = field(default_factory=lambda: array("B"))
    depths: Array = field(default_factory=lambda: array("H"))
    changed: Array = field(default_factory=lambda: array("q"))


@dataclass(slots=True)
class Part:
    """A version as a walk found it: `name`, its root's device and inode, and when the walk began (epoch seconds).

    `blocks` and `sizes` are of the directories and of the inodes in `own`. `names_twice` counts the names of the inodes
    (device, number) that have more than one here. `files` counts names of regular files. `unread` counts directories
    that could not be read. `steady` says that the directories can be looked at again instead of walked.
    """

    name: str
    device: int
    inode: int
    taken: float
    blocks: int = 0
    sizes: int = 0
    files: int = 0
    unread: int = 0
    steady: bool = False
    own: dict[int, Own] = field(default_factory=dict)
    names_twice: dict[tuple[int, int], int] = field(default_factory=dict)
    directories: Directories = field(default_factory=Directories)
    samples: list[Sample] = field(default_factory=list)

    def own_on(self, device: int) -> Own:
        """Return the own inodes of a device, to add to."""
        found = self.own.get(device)
        if found is None:
            found = self.own[device] = Own()
        return found

    def give_up(self, device: int, wanted: Set[int]) -> dict[int, tuple[int, int]]:
        """Stop counting these inodes as own, as far as they are; give blocks and size of each that was."""
        found = self.own[device].take_out(wanted) if device in self.own else {}
        for blocks, size in found.values():
            self.blocks -= blocks
            self.sizes -= size
        return found

    def head(self) -> dict[str, Any]:
        """Return what is neither a list of directories nor of inodes, as JSON holds it."""
        return {
            "root": [self.name, self.device, self.inode, self.taken],
            "sums": [self.blocks, self.sizes, self.files, self.unread, self.steady],
            "twice": [[*inode, count] for inode, count in self.names_twice.items()],
            "samples": [found.as_list() for found in self.samples],
            "devices": list(self.own),
        }

    def directory_arrays(self) -> list[Array]:
        """Return the directories as three arrays."""
        found = self.directories
        return [found.names, found.depths, found.changed]

    def own_arrays(self) -> list[Array]:
        """Return the own inodes as three arrays for each device."""
        return [array for own in self.own.values() for array in (own.numbers, own.blocks, own.sizes)]


def part_of(head: dict[str, Any], directories: list[Array]) -> Part:
    """Make a part from its head and the three arrays of its directories; the own inodes are not in it yet."""
    part = Part(*head["root"])
    part.blocks, part.sizes, part.files, part.unread, part.steady = head["sums"]
    part.names_twice = {(device, number): count for device, number, count in head["twice"]}
    part.directories = Directories(*directories)
    part.samples = [Sample.of(values) for values in head["samples"]]
    return part


def own_of(head: dict[str, Any], arrays: list[Array]) -> dict[int, Own]:
    """Make the own inodes of a part from its head and their arrays."""
    devices = head["devices"]
    if len(arrays) != 3 * len(devices):
        raise ValueError(tr("arrays are missing"))
    return {device: Own(*arrays[3 * i : 3 * i + 3]) for i, device in enumerate(devices)}


ROW_COLUMNS = 5
"""Arrays that pack() gives for each device."""


@dataclass(slots=True)
class Rows:
    """Inodes by device and number: their row, and a number whose bits are the versions that hold them."""

    rows: dict[int, dict[int, Row]] = field(default_factory=dict)
    holders: dict[int, dict[int, int]] = field(default_factory=dict)

    def pack(self) -> tuple[dict[str, Any], list[Array]]:
        """Return them as a head (what JSON can hold) and arrays. The few different sets of holders are in the head."""
        places: dict[int, int] = {}
        arrays = []
        for device, rows in self.rows.items():
            holders = self.holders.get(device, {})
            sets = [places.setdefault(holders.get(number, 0), len(places)) for number in rows]
            columns = zip(*rows.values(), strict=True) if rows else ((), (), ())
            arrays += [array("Q", rows), *(array("Q", column) for column in columns), array("I", sets)]
        return {"devices": list(self.rows), "holders": [f"{held:x}" for held in places]}, arrays

    @classmethod
    def unpack(cls, head: dict[str, Any], arrays: list[Array]) -> Rows:
        """Make them of what pack() gave."""
        held = [int(found, 16) for found in head["holders"]]
        found = cls()
        if len(arrays) != ROW_COLUMNS * len(head["devices"]):
            raise ValueError(tr("columns are missing"))
        for place, device in enumerate(head["devices"]):
            numbers, *columns, sets = arrays[ROW_COLUMNS * place : ROW_COLUMNS * (place + 1)]
            found.rows[device] = dict(zip(numbers, zip(*columns, strict=True), strict=True))
            holders = zip(numbers, map(held.__getitem__, sets), strict=True)
            found.holders[device] = {number: bits for number, bits in holders if bits} if 0 in held else dict(holders)
        return found

    def add(self, other: Rows) -> None:
        """Take in what another process found; its rows replace older ones."""
        for device, rows in other.rows.items():
            self.rows.setdefault(device, {}).update(rows)
        for device, found in other.holders.items():
            holders = self.holders.setdefault(device, {})
            if not holders:
                holders.update(found)
                continue
            get = holders.get
            for number, held in found.items():
                holders[number] = get(number, 0) | held

    def keep(self, bits: int) -> None:
        """Forget every holder but those of these bits."""
        for device, holders in self.holders.items():
            self.holders[device] = {number: held & bits for number, held in holders.items() if held & bits}
