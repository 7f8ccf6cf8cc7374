"""Numbers in bulk as bytes: a JSON head, then arrays as they lie in memory; for pipes and files of this machine."""

from __future__ import annotations

import json
import os
import struct
import sys
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from govma_core.jsonfile import staged_beside
from govma_core.language import tr

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
