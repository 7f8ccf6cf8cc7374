"""Reads a .tar.gz once, front to back: its members and their content.

tarfile reads the headers and gzip the stream. The checks around them: tarfile takes a damaged header for the end of
the archive, lets one header ask for all memory, and offers links, devices and names that lead elsewhere.
"""

from __future__ import annotations

import errno
import gzip
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO, Self

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
        raise VendorError("{error} Put the tarball there.", error=error) from None
    except OSError as error:
        raise VendorError(
            "{path} cannot be opened: {strerror}. Put the tarball there.", path=path, strerror=error.strerror
        ) from None
    return open(fd, "rb")


class _Stream(gzip.GzipFile):
    """The decompressed bytes, no more than `allowance` of them: no header takes all memory."""

    allowance = 0

    def read(self, size: int | None = -1) -> bytes:
        """Return so many bytes; EOFError when there are not as many."""
        if size is None or not 0 <= size <= self.allowance:
            raise tarfile.ReadError(tr("a header has an impossible size"))
        self.allowance -= size
        content = super().read(size)
        if len(content) < size:
            raise EOFError
        return content


class _Header(tarfile.TarInfo):
    """A member's header; a damaged one is an error, which tarfile would take for the end of the archive."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        """Read the next header."""
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # the end mark
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(tr("a header cannot be read: {error}", error=error)) from None


class Tarball:
    """One pass over a .tar.gz: iterate over paths and members, and take a file's `content()` before the next one."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._stream = _Stream(fileobj=file, mode="rb")

    def refusal(self, problem: str, advice: str) -> VendorError:
        """Return the error that names this tarball, what is wrong with it and what to do."""
        return VendorError(f"{self._path}: {problem} {advice}")

    def __iter__(self) -> Iterator[tuple[Components, tarfile.TarInfo]]:
        """Yield files and directories; VendorError for anything else, and for damage."""
        with self._reading(_MOST_HEADER_BYTES):
            archive: Any = tarfile.TarFile(fileobj=self._stream, tarinfo=_Header)
        total = 0
        for _ in range(MOST_MEMBERS):
            with self._reading(_MOST_HEADER_BYTES):
                member: tarfile.TarInfo | None = archive.next()
            if member is None:
                break
            archive.members.clear()  # where tarfile would keep them all
            if len(archive.pax_headers) > _MOST_GLOBAL_HEADERS:
                raise self._damaged(tr("it has too many global headers"))
            path = tuple(part for part in member.name.split("/") if part not in ("", "."))
            total += member.size if member.isreg() else 0
            self._require_acceptable(member, path, total)
            yield path, member
        else:
            problem = tr("it holds {most_members} members or more.", most_members=MOST_MEMBERS)
            raise self.refusal(problem, tr("Is it the right file?"))
        with self._reading(0):
            while self._stream.read1(_PIECE):
                pass  # what is left, which proves the checksum of the stream

    def content(self, member: tarfile.TarInfo) -> Iterator[bytes]:
        """Yield the bytes of the file that was just yielded, in pieces."""
        for start in range(0, member.size, _PIECE):
            with self._reading(_PIECE):
                piece = self._stream.read(min(member.size - start, _PIECE))
            yield piece

    @contextmanager
    def _reading(self, allowance: int) -> Iterator[None]:
        """Allow so many bytes to be read; name this tarball as damaged when that fails."""
        self._stream.allowance = allowance
        try:
            yield
        except EOFError:
            raise self._damaged(tr("it ends too early")) from None
        except Exception as error:  # a hostile header makes tarfile fail in many ways, RecursionError among them
            raise self._damaged(error) from None

    def _damaged(self, reason: object) -> VendorError:
        problem = tr("the tarball is damaged or incomplete ({why}).", why=reason)
        return self.refusal(problem, tr("Copy it here again, and deploy again."))

    def _require_acceptable(self, member: tarfile.TarInfo, path: Components, total: int) -> None:
        """Raise VendorError for anything but files and directories with relative names, not too deep and not too large.

        `total` counts the bytes of this member and all before it.
        """
        name, size = member.name, member.size if member.isreg() else 0
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
        elif len(path) > DEEPEST:
            problem = tr("{name!r}… is more than {deepest} levels deep.", name=name[:200], deepest=DEEPEST)
            advice = tr("Is it the right file?")
        elif not 0 <= size <= LARGEST_MEMBER or total > LARGEST_TOTAL:
            problem = tr(
                "{name!r} has {size} bytes, with all before it {total}; that is not unpacked.",
                name=name,
                size=size,
                total=total,
            )
            advice = tr("Is it the right file?")
        else:
            return
        raise self.refusal(problem, advice)
