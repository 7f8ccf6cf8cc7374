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
from collections.abc import Callable, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from govma_core.disk.usage.ledger import Ledger, OutdatedError, SealedParts
from govma_core.disk.usage.pack import DAMAGED, Array, pack, replace_file, unpack
from govma_core.disk.usage.part import Part, own_of, part_of
from govma_core.disk.usage.rows import ROW_COLUMNS, Rows
from govma_core.language import tr

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
