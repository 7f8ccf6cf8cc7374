"""The contents of each version as published: digest, size, mode and owner of every file, for `verify` to compare with.

One compressed file for each version below `<state_dir>/contents/`. Digests are BLAKE2b of 16 bytes, in hex.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import zlib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from govma_core.fs import jsonfile

_BLOCK = 1 << 20
_LINK_MODE = -1
_SUFFIX = ".json.z"


class FileRecord(NamedTuple):
    """A regular file as published. A symbolic link has its target as digest, and -1 as mode."""

    digest: str
    size: int
    mode: int
    uid: int
    gid: int


class ContentsStore:
    """The records of all versions: each maps the paths of the files of a version to a FileRecord.

    In another folder, those of the vendor tarballs, by their sha256 (see deploy/unpack.py).
    """

    def __init__(self, state_dir: Path, folder: str = "contents") -> None:
        self._directory = state_dir / folder

    def write(self, version: str, parts: Iterable[str]) -> None:
        """Join parts that `pack` made into the record of a version, and write it; an earlier record is replaced."""
        self._directory.mkdir(mode=0o750, exist_ok=True)
        text = ",".join(part for part in parts if part)
        jsonfile.replace_bytes(self._path(version), zlib.compress(f"{{{text}}}".encode(), 1), mode=0o640)

    def read(self, version: str) -> dict[str, FileRecord] | None:
        """Return the record of a version; None when there is none (deploy.sh made it) or it is damaged."""
        try:
            data = json.loads(zlib.decompress(self._path(version).read_bytes()))
            return {path: FileRecord(*fields) for path, fields in data.items()}
        except (FileNotFoundError, ValueError, TypeError, AttributeError, zlib.error):
            return None

    def discard(self, version: str) -> None:
        """Remove the record of a version."""
        self._path(version).unlink(missing_ok=True)

    def discard_others(self, names: Collection[str]) -> None:
        """Remove the records of all but these."""
        kept = {self._path(name) for name in names}
        for path in set(self._directory.glob(f"*{_SUFFIX}")) - kept:
            path.unlink(missing_ok=True)

    def _path(self, version: str) -> Path:
        return self._directory / f"{version}{_SUFFIX}"


def pack(files: Mapping[str, FileRecord]) -> str:
    """Return some files as a part of a record: a worker packs the files that it has read."""
    return json.dumps(files)[1:-1]


def new_digest() -> hashlib.blake2b:
    """Return the digest of a file of which nothing has been read yet."""
    return hashlib.blake2b(digest_size=16)


def digest_of(content: bytes) -> str:
    """Return the digest of a file that was read whole."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def record_file(fd: int, info: os.stat_result, content: bytes | None = None) -> FileRecord:
    """Return the record of an open regular file; `content` when the caller has read it already."""
    digest = new_digest()
    digest.update(content or b"")
    if content is None:
        offset = 0
        while block := os.pread(fd, _BLOCK, offset):
            digest.update(block)
            offset += len(block)
    return FileRecord(digest.hexdigest(), info.st_size, stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid)


def record_link(dir_fd: int, name: str) -> FileRecord:
    """Return the record of a symbolic link."""
    return FileRecord(os.readlink(name, dir_fd=dir_fd), 0, _LINK_MODE, 0, 0)
