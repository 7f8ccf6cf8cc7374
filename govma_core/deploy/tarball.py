"""Reading a .tar.gz once from front to back: its members, their content, and the hash of the file on the way.

tarfile reads the headers that have anything unusual (GNU and pax names, large sizes). What it is not left to decide: it
would take a damaged header for the end of the archive, and offer links, devices and names that lead elsewhere. Memory
does not grow with the archive: members are forgotten as they pass.
"""

from __future__ import annotations

import io
import os
import re
import sys
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from govma_core.deploy.inflate import DamagedError, InflatedStream
from govma_core.errors import UnsafeTreeError, VendorError
from govma_core.fs.permissions import open_file
from govma_core.text.language import tr

MOST_MEMBERS = 1_000_000
LARGEST_MEMBER = 2 << 30
LARGEST_TOTAL = 8 << 30
DEEPEST = 64
"""Bounds on what an archive may hold: members, bytes of one and of all, levels of directories."""

_BLOCK = tarfile.BLOCKSIZE
_HEADERS = 1 << 20  # bytes that the headers of one member may have, names and attributes included
_GLOBALS = 100  # pax headers that hold for all that follows
_DAMAGE = (DamagedError, zlib.error, OSError)

# The header of a file or directory with nothing unusual in it, as ustar, pax and GNU archives have it, which differ in
# the magic alone as long as the name fits its field. tarfile takes five times as long for it.
_PLAIN = re.compile(
    rb"(?=([^\0]{1,99})\0).{100}([0-7]{7})\0.{16}([0-7]{11})[\0 ]([0-7]{11})[\0 ]([0-7]{6})\0 ([05])"
    rb".{100}(?:ustar\x0000|ustar  \0).{80}\0",
    re.DOTALL,
)


class Member(NamedTuple):
    """A file or directory of an archive: the components of its path, bytes, mode and mtime (epoch seconds)."""

    path: tuple[str, ...]
    is_dir: bool
    size: int
    mode: int
    mtime: float


class Tarball:
    """One pass over a .tar.gz: iterate over the members, and take a file's `content()` before the next one."""

    def __init__(self, path: Path, fd: int) -> None:
        self._path = path
        self._stream = InflatedStream(fd)
        # An archive of nothing: it holds what headers depend on, the encoding of names and pax headers for all.
        self._archive = tarfile.TarFile(
            fileobj=io.BytesIO(bytes(_BLOCK)),
            encoding=sys.getfilesystemencoding(),
            errors=sys.getfilesystemencodeerrors(),
        )
        source: Any = self._stream
        self._archive.fileobj = source
        self._unread = 0
        self._total = 0

    def close(self) -> None:
        """End the reading, wherever it is."""
        self._stream.close()

    def refusal(self, what: str, advice: str) -> VendorError:
        """Return the error that says what was found in this tarball and what to do."""
        return VendorError(f"{self._path}: {what} {advice}")

    def sha256(self) -> str:
        """Return the hash of the compressed file; reads what is left of it, which proves its checksum, too."""
        try:
            return self._stream.finish()
        except _DAMAGE as error:
            raise self._damaged(error) from None

    def content(self, member: Member) -> Iterator[memoryview]:
        """Yield the bytes of the file that was just yielded, in pieces."""
        left = member.size
        while left:
            try:
                piece = self._stream.some(left)
            except _DAMAGE as error:
                raise self._damaged(error) from None
            if not piece:
                raise self._damaged(tr("it ends inside {path!r}", path="/".join(member.path)))
            left -= len(piece)
            self._unread -= len(piece)
            yield piece

    def __iter__(self) -> Iterator[Member]:
        for _ in range(MOST_MEMBERS):
            try:
                self._stream.skip(self._unread)
                member = self._next()
            except _DAMAGE as error:
                raise self._damaged(error) from None
            if member is None:
                return
            self._unread = -(-member.size // _BLOCK) * _BLOCK
            yield member
        raise self.refusal(
            tr("it holds {most_members} members or more.", most_members=MOST_MEMBERS), tr("Is it the right file?")
        )

    def _damaged(self, why: object) -> VendorError:
        return self.refusal(
            tr("the tarball is damaged or incomplete ({why}).", why=why), tr("Copy it here again, and deploy again.")
        )

    def _next(self) -> Member | None:
        self._stream.allowance = _HEADERS
        block = self._stream.read(_BLOCK)
        if len(block) < _BLOCK:
            raise DamagedError(tr("it has no end mark"))
        plain = _PLAIN.match(block)
        if plain and not self._archive.pax_headers:
            name, mode, size, mtime, checksum, kind = plain.groups()
            # The checksum counts its own field as eight spaces.
            if sum(block) - sum(block[148:156]) + 8 * 0x20 != int(checksum, 8):
                raise DamagedError(tr("a header does not match its checksum"))
            return self._accept(os.fsdecode(name), kind == b"5", int(size, 8), int(mode, 8), int(mtime, 8))
        if not block.strip(b"\0"):
            return None
        self._stream.put_back(block)
        found = self._parse()
        if found.issparse() or not (found.isreg() or found.isdir()):
            raise self._not_wanted(found)
        return self._accept(found.name, found.isdir(), found.size, found.mode, found.mtime)

    def _parse(self) -> tarfile.TarInfo:
        try:
            found = tarfile.TarInfo.fromtarfile(self._archive)
        except _DAMAGE:
            raise
        # A hostile header makes the parser fail in many ways, RecursionError among them: all mean the same.
        except Exception as error:
            raise DamagedError(tr("a header cannot be read: {error}", error=error)) from None
        if len(self._archive.pax_headers) > _GLOBALS:
            raise DamagedError(tr("it has too many global headers"))
        return found

    def _not_wanted(self, found: tarfile.TarInfo) -> VendorError:
        if found.issym() or found.islnk():
            kind = tr("symbolic") if found.issym() else tr("hard")
            return self.refusal(
                tr(
                    "{name!r} is a {kind} link to {linkname!r}, and links are not unpacked.",
                    name=found.name,
                    kind=kind,
                    linkname=found.linkname,
                ),
                tr("Make the tarball again with what they lead to: tar --dereference --hard-dereference -czf …"),
            )
        kind = (
            tr("a sparse file")
            if found.issparse()
            else tr("a special file (type {fsencode!r})", fsencode=os.fsencode(found.type))
        )
        return self.refusal(
            tr("{name!r} is {kind}; only plain files and directories are unpacked.", name=found.name, kind=kind),
            tr("Make the tarball again without it."),
        )

    def _accept(self, name: str, is_dir: bool, size: int, mode: int, mtime: float) -> Member:
        path = tuple(part for part in name.split("/") if part not in ("", "."))
        if name.startswith("/") or ".." in path or "\0" in name or (not is_dir and (not path or name.endswith("/"))):
            raise self.refusal(
                tr("{name!r} is no name that can be unpacked.", name=name),
                tr("Make the tarball again with plain names."),
            )
        if len(path) > DEEPEST:
            raise self.refusal(
                tr("{name!r}… is more than {deepest} levels deep.", name=name[:200], deepest=DEEPEST),
                tr("Is it the right file?"),
            )
        member = Member(path, is_dir, 0 if is_dir else size, mode, mtime)
        self._total += member.size
        if not 0 <= member.size <= LARGEST_MEMBER or self._total > LARGEST_TOTAL:
            raise self.refusal(
                tr(
                    "{name!r} has {size} bytes, with all before it {total}; that is not unpacked.",
                    name=name,
                    size=size,
                    total=self._total,
                ),
                tr("Is it the right file?"),
            )
        return member


def open_tarball(path: Path) -> int:
    """Open a tarball for reading; VendorError when it is not there or no regular file."""
    try:
        fd, _ = open_file(path)
    except UnsafeTreeError as error:
        raise VendorError(tr("{error} Put the tarball there.", error=error)) from None
    except OSError as error:
        raise VendorError(
            tr("{path} cannot be opened: {strerror}. Put the tarball there.", path=path, strerror=error.strerror)
        ) from None
    return fd
