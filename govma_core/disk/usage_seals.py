"""The seals: what former passes found of versions that are no longer live, in one file that is replaced as a whole.

One file, because what the versions share belongs together: a seal of one version from another pass than the rows it
counts on would tell wrong sums. `<state_dir>/usage/seals` is a line that names the format, then two blocks, each with
its length and checksum before it: directories and shared inodes first, then the inodes that versions have for
themselves, which are read only when somebody may have linked one.
"""

from __future__ import annotations

import os
import struct
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from govma_core.disk.usage_ledger import Ledger, OutdatedError, Sealed
from govma_core.disk.usage_pack import DAMAGED, Array, pack, replace_file, unpack
from govma_core.disk.usage_part import Part, own_of, part_of
from govma_core.disk.usage_rows import ROW_COLUMNS, Rows

_FORMAT = b"govma-console usage 1\n"
_FRAME = struct.Struct("=QI")

OLDEST = 86_400.0
"""Seconds that a seal holds: what nothing on the disk tells (an old version's file that grew in place) shows then."""


def load(path: Path, versions: os.stat_result) -> Sealed:
    """Give the seals of this versions directory; none when there are none that can be read and trusted."""
    try:
        content = path.read_bytes()
        if not content.startswith(_FORMAT):
            return Sealed()
        shared, own = _blocks(memoryview(content)[len(_FORMAT) :])
        head, arrays = unpack(_checked(shared))
        if head["versions"] != [versions.st_dev, versions.st_ino]:
            return Sealed()
        return _sealed(head, arrays, own)
    except (OSError, *DAMAGED):
        return Sealed()


def save(path: Path, versions: os.stat_result, ledger: Ledger, parts: Mapping[str, Part]) -> None:
    """Replace the seals by those of these parts of the ledger; OSError when they cannot be written."""
    try:
        ledger.sealed.complete()
    except OutdatedError:
        path.unlink(missing_ok=True)
        return
    rows, arrays = _rows(ledger, sum(ledger.bits[name] for name in parts)).pack()
    heads = []
    own = []
    for name, part in parts.items():
        heads.append([ledger.bits[name].bit_length() - 1, part.head()])
        arrays += part.directory_arrays()
        own += part.own_arrays()
    head = {"versions": [versions.st_dev, versions.st_ino], "rows": rows, "parts": heads}
    content = [_FORMAT]
    for block in (pack(head, arrays), pack({}, own)):
        content += _FRAME.pack(len(block), zlib.crc32(block)), block
    replace_file(path, content)


def _rows(ledger: Ledger, bits: int) -> Rows:
    """Give what these versions do not have for themselves; the links in each row are those outside all versions."""
    found = Rows()
    for inode in ledger.shared():
        if inode.holders & bits:
            found.rows.setdefault(inode.device, {})[inode.number] = inode.blocks, inode.size, inode.outside
            found.holders.setdefault(inode.device, {})[inode.number] = inode.holders & bits
    return found


def _sealed(head: dict[str, Any], arrays: list[Array], own: memoryview) -> Sealed:
    now = time.time()
    columns = ROW_COLUMNS * len(head["rows"]["devices"])
    sealed = Sealed(rows=Rows.unpack(head["rows"], arrays[:columns]))
    rest = arrays[columns:]
    sealed.stored = frozenset(found["root"][0] for _, found in head["parts"])
    own_heads = []
    for place, (bit, found) in enumerate(head["parts"]):
        part = part_of(found, rest[3 * place : 3 * place + 3])
        own_heads.append((part, found))
        if 0 <= now - part.taken < OLDEST:
            sealed.parts[part.name], sealed.bits[part.name] = part, 1 << bit

    def load_own() -> None:
        try:
            _, arrays = unpack(_checked(own))
            for part, found in own_heads:
                count = 3 * len(found["devices"])
                part.own = own_of(found, arrays[:count])
                del arrays[:count]
        except DAMAGED:
            raise OutdatedError from None

    sealed.load_own = load_own
    return sealed


def _blocks(content: memoryview) -> list[memoryview]:
    """Cut the content into framed blocks, the frame still on each."""
    found = []
    while content:
        end = _FRAME.size + _FRAME.unpack_from(content)[0]
        found.append(content[:end])
        content = content[end:]
    return found


def _checked(framed: memoryview) -> memoryview:
    """Give what is in the frame; ValueError when that is not what was written."""
    length, checksum = _FRAME.unpack_from(framed)
    block = framed[_FRAME.size :]
    if len(block) != length or zlib.crc32(block) != checksum:
        raise ValueError("damaged")
    return block
