"""Reads a .tar.gz once, front to back: its members and their content.

tarfile reads the headers and gzip the stream. The checks around them: tarfile takes a damaged header for the end of
the archive, lets one header ask for all memory, and offers links, devices and names that lead elsewhere.
"""

from __future__ import annotations

import errno
import gzip
import os
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

from govma_core.errors import UnsafeTreeError, VendorError
from govma_core.fs.permissions import open_file
from govma_core.text.language import tr

MOST_MEMBERS = 1_000_000
LARGEST_MEMBER = 2 << 30
LARGEST_TOTAL = 8 << 30
DEEPEST = 64
"""Bounds on what an archive may hold: members, bytes of one and of all, levels of directories."""

_GZIP_MAGIC = b"\x1f\x8b"
_PIECE = 1 << 18
_MOST_HEADER_BYTES = 1 << 20  # of one member, long names and attributes included
_MOST_GLOBAL_HEADERS = 100  # pax headers that hold for all members that follow

Components = tuple[str, ...]


def preflight(path: Path, setting: str) -> list[str]:
    """Return a sentence for what is wrong with the tarball at first sight; `setting` says where its path comes from."""
    try:
        fd, info = open_file(path)
    except UnsafeTreeError as error:
        return [
            tr(
                "{path} ({setting}) cannot be used: {error} Put the tarball there, or correct the setting.",
                path=path,
                setting=setting,
                error=error,
            )
        ]
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return [
                tr(
                    "{path} ({setting}) is missing. Put the tarball there, or correct the setting.",
                    path=path,
                    setting=setting,
                )
            ]
        return [
            tr(
                "{path} ({setting}) cannot be read: {strerror}. Run as root, or correct its mode.",
                path=path,
                setting=setting,
                strerror=error.strerror,
            )
        ]
    with os.fdopen(fd, "rb") as file:
        magic = file.read(len(_GZIP_MAGIC))
    if not info.st_size:
        return [tr("{path} ({setting}) is empty. Copy the tarball there again.", path=path, setting=setting)]
    if magic != _GZIP_MAGIC:
        return [
            tr(
                "{path} ({setting}) is not a gzip file. Put the .tar.gz itself there, as it was made.",
                path=path,
                setting=setting,
            )
        ]
    return []


def open_tarball(path: Path) -> BufferedReader:
    """Open a tarball for reading; VendorError when it is not there or no regular file."""
    try:
        fd, _ = open_file(path)
    except UnsafeTreeError as error:
        raise VendorError(tr("{error} Put the tarball there.", error=error)) from None
    except OSError as error:
        raise VendorError(
            tr("{path} cannot be opened: {strerror}. Put the tarball there.", path=path, strerror=error.strerror)
        ) from None
    return open(fd, "rb")


class _DamagedError(Exception):
    """The archive is not what its format promises; says why, in a few words."""


class _Stream:
    """The decompressed bytes, no more than `allowance` of them: no header takes all memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._gzip = gzip.GzipFile(fileobj=file, mode="rb")
        self._position = 0
        self.allowance = 0
        self.latest = b""

    def read(self, size: int) -> bytes:
        if not 0 <= size <= self.allowance:
            raise _DamagedError(tr("a header has an impossible size"))
        self.allowance -= size
        try:
            self.latest = self._gzip.read(size)
        except EOFError:
            raise _DamagedError(tr("it ends too early")) from None
        except (OSError, zlib.error) as error:
            raise _DamagedError(error) from None
        self._position += len(self.latest)
        return self.latest

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> None:
        """Pass over what fills the last block of a file."""
        distance = position - self._position
        if len(self.read(distance)) < distance:
            raise _DamagedError(tr("it ends inside a member"))


class Tarball:
    """One pass over a .tar.gz: iterate over paths and members, and take a file's `content()` before the next one."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._stream = _Stream(file)

    def refusal(self, problem: str, advice: str) -> VendorError:
        """Return the error that names this tarball, what is wrong with it and what to do."""
        return VendorError(f"{self._path}: {problem} {advice}")

    def __iter__(self) -> Iterator[tuple[Components, tarfile.TarInfo]]:
        """Yield files and directories; VendorError for anything else, and for damage."""
        stream: Any = self._stream
        with self._reading(_MOST_HEADER_BYTES):
            archive: Any = tarfile.TarFile(fileobj=stream)
        total = 0
        for _ in range(MOST_MEMBERS):
            with self._reading(_MOST_HEADER_BYTES):
                member: tarfile.TarInfo | None = archive.next()
                if member is None and self._stream.latest != bytes(tarfile.BLOCKSIZE):
                    raise tarfile.ReadError
                if len(archive.pax_headers) > _MOST_GLOBAL_HEADERS:
                    raise _DamagedError(tr("it has too many global headers"))
            if member is None:
                break
            archive.members = []  # where tarfile would keep them all
            path = tuple(part for part in member.name.split("/") if part not in ("", "."))
            total += member.size if member.isreg() else 0
            self._require_plain(member, path)
            self._require_bounds(member, path, total)
            yield path, member
        else:
            problem = tr("it holds {most_members} members or more.", most_members=MOST_MEMBERS)
            raise self.refusal(problem, tr("Is it the right file?"))
        while self._piece(_PIECE):
            pass  # what is left, which proves the checksum of the stream

    def content(self, path: Components, member: tarfile.TarInfo) -> Iterator[bytes]:
        """Yield the bytes of the file that was just yielded, in pieces."""
        missing = member.size
        while missing:
            piece = self._piece(missing)
            if not piece:
                raise self._damaged(tr("it ends inside {path!r}", path="/".join(path)))
            missing -= len(piece)
            yield piece

    def _piece(self, most: int) -> bytes:
        with self._reading(_PIECE):
            return self._stream.read(min(most, _PIECE))

    @contextmanager
    def _reading(self, allowance: int) -> Iterator[None]:
        """Allow so many bytes to be read; name this tarball as damaged when they are."""
        self._stream.allowance = allowance
        try:
            yield
        except _DamagedError as error:
            raise self._damaged(error) from None
        # A hostile header makes tarfile fail in many ways, RecursionError among them: all mean the same.
        except Exception as error:
            if len(self._stream.latest) < tarfile.BLOCKSIZE:
                raise self._damaged(tr("it has no end mark")) from None
            if str(error) in ("", "bad checksum"):
                raise self._damaged(tr("a header does not match its checksum")) from None
            raise self._damaged(tr("a header cannot be read: {error}", error=error)) from None

    def _damaged(self, reason: object) -> VendorError:
        problem = tr("the tarball is damaged or incomplete ({why}).", why=reason)
        return self.refusal(problem, tr("Copy it here again, and deploy again."))

    def _require_plain(self, member: tarfile.TarInfo, path: Components) -> None:
        """Raise VendorError for anything but files and directories with relative names."""
        name = member.name
        advice = tr("Make the tarball again without it.")
        if member.issym() or member.islnk():
            problem = tr(
                "{name!r} is a {kind} link to {linkname!r}, and links are not unpacked.",
                name=name,
                kind=tr("symbolic") if member.issym() else tr("hard"),
                linkname=member.linkname,
            )
            advice = tr("Make the tarball again with what they lead to: tar --dereference --hard-dereference -czf …")
        elif member.issparse() or not (member.isreg() or member.isdir()):
            kind = tr("a special file (type {fsencode!r})", fsencode=os.fsencode(member.type))
            kind = tr("a sparse file") if member.issparse() else kind
            problem = tr("{name!r} is {kind}; only plain files and directories are unpacked.", name=name, kind=kind)
        elif name.startswith("/") or ".." in path or "\0" in name or (member.isreg() and (not path or name[-1] == "/")):
            problem = tr("{name!r} is no name that can be unpacked.", name=name)
            advice = tr("Make the tarball again with plain names.")
        else:
            return
        raise self.refusal(problem, advice)

    def _require_bounds(self, member: tarfile.TarInfo, path: Components, total: int) -> None:
        """Raise VendorError for a member that is too deep or too large, or with which all of them are."""
        size = member.size if member.isreg() else 0
        if len(path) > DEEPEST:
            problem = tr("{name!r}… is more than {deepest} levels deep.", name=member.name[:200], deepest=DEEPEST)
        elif not 0 <= size <= LARGEST_MEMBER or total > LARGEST_TOTAL:
            problem = tr(
                "{name!r} has {size} bytes, with all before it {total}; that is not unpacked.",
                name=member.name,
                size=size,
                total=total,
            )
        else:
            return
        raise self.refusal(problem, tr("Is it the right file?"))
