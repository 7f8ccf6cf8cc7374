"""What was in a version when it was published: digest, size, mode and owner of each file, to be compared with later.

One compressed file a version below `<state_dir>/contents/`. Digests are BLAKE2b of 16 bytes, in hex.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from govma_core.fs import jsonfile

_BLOCK = 1 << 20


class Sealed(NamedTuple):
    """A regular file as it was published; a link has the text it points to as digest, and -1 as mode."""

    digest: str
    size: int
    mode: int
    uid: int
    gid: int


_LINK = -1


class ContentsStore:
    """The records of all versions."""

    def __init__(self, state_dir: Path) -> None:
        self._directory = state_dir / "contents"

    def write(self, version: str, parts: Iterable[str]) -> None:
        """Write the record of a version, made of parts by `pack`, replacing an earlier one."""
        self._directory.mkdir(mode=0o750, exist_ok=True)
        text = ",".join(part for part in parts if part)
        jsonfile.replace_bytes(self._path(version), zlib.compress(f"{{{text}}}".encode(), 1), mode=0o640)

    def read(self, version: str) -> dict[str, Sealed] | None:
        """Return the record of a version; None when there is none (deploy.sh made it) or it is damaged."""
        try:
            data = json.loads(zlib.decompress(self._path(version).read_bytes()))
            return {path: Sealed(*sealed) for path, sealed in data.items()}
        except (FileNotFoundError, ValueError, TypeError, AttributeError, zlib.error):
            return None

    def discard(self, version: str) -> None:
        """Remove the record of a version."""
        self._path(version).unlink(missing_ok=True)

    def _path(self, version: str) -> Path:
        return self._directory / f"{version}{_SUFFIX}"


_SUFFIX = ".json.z"


def pack(files: Mapping[str, Sealed]) -> str:
    """Return a part of a record: what it takes is done where the files were looked at."""
    return json.dumps(files)[1:-1]


def seal(fd: int, info: os.stat_result, content: bytes | None = None) -> Sealed:
    """Return what is to be kept of an open regular file; `content` when the caller has it already."""
    digest = hashlib.blake2b(content if content is not None else b"", digest_size=16)
    if content is None:
        offset = 0
        while block := os.pread(fd, _BLOCK, offset):
            digest.update(block)
            offset += len(block)
    return Sealed(digest.hexdigest(), info.st_size, stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid)


def seal_link(dir_fd: int, name: str) -> Sealed:
    """Return what is to be kept of a symbolic link."""
    return Sealed(os.readlink(name, dir_fd=dir_fd), 0, _LINK, 0, 0)
