"""Unpacks a vendor tarball, and only what the live version does not have of it.

What a tarball holds is recorded below `<state_dir>/tarballs/`, by its sha256. A later deploy of the same tarball makes
links to those files of the live version that still have the recorded content, and takes only the others from the
tarball, which is decompressed only for these.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Collection, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tarfile import TarInfo
from typing import BinaryIO, cast

from govma_core.deploy.tarball import Components, Tarball, open_tarball
from govma_core.disk.compare import IN_MEMORY
from govma_core.disk.link_new_version import EarlierFiles
from govma_core.errors import VendorError
from govma_core.fs import safefs
from govma_core.process.workers import write_all
from govma_core.text.language import tr
from govma_core.versions.contents import ContentsStore, FileRecord, digest_of, new_digest, pack

_BLOCK = 1 << 20
_LATEST = float(1 << 33)

Owner = tuple[int, int] | None
"""A uid and gid that entries are given to; None leaves them ours."""


@dataclass(slots=True)
class Unpacked:
    """What a tarball held, by path (directories have no digest), and the sha256 of the tarball itself."""

    records: dict[str, FileRecord] = field(default_factory=dict)
    sha256: str = ""

    @property
    def files(self) -> dict[str, FileRecord]:
        """Return the regular files."""
        return {path: record for path, record in self.records.items() if record.digest}


def unpack(
    path: Path, into_fd: int, top: str, owner: Owner, records: ContentsStore, earlier: EarlierFiles | None = None
) -> Unpacked:
    """Unpack a .tar.gz whose members are all `top` or below it into the empty directory into_fd, ours alone.

    Files and directories get `owner` and their mode without set-id bits and write access for others; files keep their
    mtime, or are links to the equal ones of `earlier`, with theirs. VendorError for anything but plain files and
    directories, or a damaged tarball.
    """
    with open_tarball(path) as file, closing(_Tree(into_fd, owner, earlier)) as tree:
        known = Unpacked()
        if earlier is not None:
            known.sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            known.records = tree.as_owned(records.read(known.sha256) or {})
            file.seek(0)
        others = tree.make_from_earlier(known.records)
        if known.records and not others:
            return known
        hashed = _Hashed(file)
        tarball = Tarball(path, cast("BinaryIO", hashed))
        unpacked = Unpacked()
        for member_path, member in tarball:
            if member_path and (not known.records or "/".join(member_path) in others):
                unpacked.records |= _place(tarball, tree, member_path, member, top)
        if not safefs.is_directory(into_fd, top):
            raise tarball.refusal(tr("it holds no {top}/.", top=top), tr("Is it the right file?"))
        while hashed.read(_BLOCK):
            # What follows the end of the archive.
            pass
        unpacked.sha256 = hashed.sha256.hexdigest()
    if not known.records:
        with suppress(OSError):
            # Without it the next deploy unpacks all of it again.
            records.write(unpacked.sha256, [pack(unpacked.records)])
    elif known.sha256 != unpacked.sha256:
        raise VendorError("{path} was replaced while it was unpacked. Deploy again.", path=path)
    return Unpacked(known.records | unpacked.records, unpacked.sha256)


class _Hashed:
    """A file that is hashed as it is read: the hash is of what was unpacked, whatever becomes of the file meanwhile."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()

    def read(self, size: int) -> bytes:
        block = self._file.read(size)
        self.sha256.update(block)
        return block


def _place(tarball: Tarball, tree: _Tree, path: Components, member: TarInfo, top: str) -> dict[str, FileRecord]:
    """Make the member in the tree, and return its record; VendorError when its name cannot be there."""
    name = "/".join(path)
    if path[0] != top or (member.isreg() and len(path) == 1):
        raise tarball.refusal(
            tr("{shown!r} is not below {top}/.", shown=name, top=top),
            tr("Make the tarball again with the folder {top} alone.", top=top),
        )
    try:
        if member.isdir():
            return {name: tree.make_directory(path, member.mode)}
        return {name: tree.make_file(path, member, tarball.content(member))}
    except (NotADirectoryError, IsADirectoryError):
        advice = tr("Make the tarball again from a fresh directory.")
        raise tarball.refusal(
            tr("{shown!r} is a file in one place and a directory in another.", shown=name), advice
        ) from None
    except OSError as error:
        if error.errno not in (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ):
            raise
        advice = tr("Make the tarball again with shorter or plainer names.")
        raise tarball.refusal(
            tr("{shown!r} cannot be created: {strerror}.", shown=name[:300], strerror=error.strerror), advice
        ) from None


class _Tree:
    """Creates files below one directory. The directory used last stays open: the next file is most often in it, too."""

    def __init__(self, root_fd: int, owner: Owner, earlier: EarlierFiles | None) -> None:
        self._root = root_fd
        self._owner = owner or (os.geteuid(), os.getegid())
        self._gives = owner is not None
        self._earlier = earlier
        self._path: Components = ()
        self._fd = os.dup(root_fd)

    def close(self) -> None:
        os.close(self._fd)

    def as_owned(self, records: dict[str, FileRecord]) -> dict[str, FileRecord]:
        """Return records of an earlier deploy with the owner of today."""
        uid, gid = self._owner
        return {path: record._replace(uid=uid, gid=gid) for path, record in records.items()}

    def make_from_earlier(self, records: dict[str, FileRecord]) -> Collection[str]:
        """Make directories as recorded, and of the files those that the earlier ones give; return the other paths."""
        others = set()
        for name, record in records.items():
            path = tuple(name.split("/"))
            if not record.digest:
                self.make_directory(path, record.mode)
            elif not self._link(path, record) and not self._copy(path, record):
                others.add(name)
        return others

    def make_directory(self, path: Components, mode: int) -> FileRecord:
        mode = mode & 0o775 | 0o700
        os.fchmod(self._enter(path), mode)
        return FileRecord("", 0, mode, *self._owner)

    def make_file(self, path: Components, member: TarInfo, content: Iterator[bytes]) -> FileRecord:
        record = FileRecord("", member.size, member.mode & 0o775 | 0o400, *self._owner)
        if self._earlier is not None and member.size <= IN_MEMORY:
            whole = b"".join(content)
            content = iter([whole])
            if self._link(path, record._replace(digest=digest_of(whole))):
                return record._replace(digest=digest_of(whole))
        seconds = member.mtime if 0 <= member.mtime < _LATEST else 0
        return self._write(path, record, content, int(seconds * 10**9))

    def _link(self, path: Components, record: FileRecord) -> bool:
        return self._earlier is not None and self._earlier.link(path, record, self._enter(path[:-1]))

    def _copy(self, path: Components, record: FileRecord) -> bool:
        """Write a file with the content and mtime of the earlier one; False when there is none as recorded."""
        if self._earlier is None or (earlier := self._earlier.read(path, record)) is None:
            return False
        content, mtime = earlier
        self._write(path, record, iter([content]), mtime)
        return True

    def _write(self, path: Components, record: FileRecord, content: Iterator[bytes], mtime: int) -> FileRecord:
        """Write a file; return its record with the digest of what was written. `mtime` in nanoseconds."""
        digest = new_digest()
        fd = self._create(self._enter(path[:-1]), path[-1])
        try:
            for piece in content:
                digest.update(piece)
                write_all(fd, piece)
            if self._gives:
                os.fchown(fd, *self._owner)
            os.fchmod(fd, record.mode)
            os.utime(fd, ns=(mtime, mtime))
        finally:
            os.close(fd)
        return record._replace(digest=digest.hexdigest())

    def _create(self, parent: int, name: str) -> int:
        try:
            return os.open(name, safefs.CREATE_FLAGS, 0o600, dir_fd=parent)
        except FileExistsError:
            # A file that is in the tarball twice: the later one counts, as with tar. A directory is not removed so.
            os.unlink(name, dir_fd=parent)
            return os.open(name, safefs.CREATE_FLAGS, 0o600, dir_fd=parent)

    def _enter(self, path: Components) -> int:
        """Return the opened directory `path`, which is made where it is not there."""
        if path != self._path:
            self.close()
            self._fd, self._path = os.dup(self._root), ()
            for name in path:
                above, self._fd = self._fd, self._descend(self._fd, name)
                os.close(above)
            self._path = path
        return self._fd

    def _descend(self, parent: int, name: str) -> int:
        try:
            fd = safefs.make_directory(parent, name)
        except FileExistsError:
            return os.open(name, safefs.DIRECTORY_FLAGS, dir_fd=parent)
        if self._gives:
            os.fchown(fd, *self._owner)
        return fd
