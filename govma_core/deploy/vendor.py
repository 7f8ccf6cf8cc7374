"""The vendor tarballs: parts of the site that are not in its repository, and come into every version.

They are unpacked by a process of its own into a private directory beside the work dir, while the checkout is copied,
whole or not at all. Once the assets are built, `merge` moves them to where they belong.
"""

from __future__ import annotations

import errno
import hashlib
import os
import pickle
import re
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tarfile import TarInfo
from typing import BinaryIO, cast

from govma_core.deploy.tarball import Components, Tarball, open_tarball
from govma_core.disk.link_new_version import EarlierFiles
from govma_core.errors import GovmaError, UnsafeTreeError, VendorError
from govma_core.fs import safefs
from govma_core.fs.trees import clear_marked, clear_opened, make_marked
from govma_core.process.workers import Forked, write_all
from govma_core.reporting import Reporter
from govma_core.text.language import tr
from govma_core.versions.remove import warn_of_leftover

FOLDERS = {"ee": "system", "themes": "html"}
"""The top folder of each vendor tarball, and the directory of a version in which it lies."""

_BLOCK = 1 << 20
_LATEST = float(1 << 33)
_PREFIX = "govma-vendor"
_STAGING = re.compile(rf"\.{_PREFIX}-[0-9a-f]{{16}}")

Owner = tuple[int, int] | None
"""A uid and gid that entries are given to; None leaves them ours."""


@dataclass(slots=True)
class Unpacked:
    """What a tarball held: regular files, their bytes, and the sha256 of the tarball itself."""

    files: int = 0
    bytes: int = 0
    sha256: str = ""


@contextmanager
def unpacking(
    work_dir: Path,
    work_fd: int,
    tarballs: Mapping[str, Path],
    owner: Owner,
    earlier: Mapping[str, EarlierFiles] | None = None,
) -> Iterator[Unpacking]:
    """Unpack for the time of the block; the private directory is gone after it.

    `earlier` gives, by top folder, the files that can be linked to instead of being written.
    """
    with safefs.opened_root(work_dir.parent) as beside:
        # Moving needs one file system; a work dir that is mounted has another one inside than beside it.
        parent = beside if os.fstat(beside).st_dev == os.fstat(work_fd).st_dev else work_fd
        name = safefs.random_name(_PREFIX)
        staged = make_marked(parent, name)
        try:
            process = Unpacking(staged, tarballs, owner, earlier or {})
            try:
                yield process
            finally:
                process.end()
        finally:
            clear_opened(parent, name, staged)
            os.close(staged)


class Unpacking:
    """A process that unpacks tarballs into the directory staged_fd; `tarballs` are their paths by top folder."""

    def __init__(
        self, staged_fd: int, tarballs: Mapping[str, Path], owner: Owner, earlier: Mapping[str, EarlierFiles]
    ) -> None:
        self._staged_fd = staged_fd

        def work(answer: int) -> None:
            outcome: dict[str, Unpacked] | Exception
            try:
                outcome = {top: unpack(path, staged_fd, top, owner, earlier.get(top)) for top, path in tarballs.items()}
            except GovmaError as error:
                outcome = VendorError(str(error))
            except OSError as error:
                outcome = error
            write_all(answer, pickle.dumps(outcome))

        self._child = Forked(work)

    def result(self) -> dict[str, Unpacked]:
        """Wait until all is unpacked, and return what each tarball held; VendorError when one is refused."""
        answer = self._child.read_all()
        if not answer:
            raise VendorError("The vendor tarballs were not unpacked: the process was killed.")
        outcome: dict[str, Unpacked] | Exception = pickle.loads(answer)  # noqa: S301  # of our own process
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def join(self, data_fd: int) -> dict[str, Unpacked]:
        """Wait for the result, move it to where it belongs in a version, and return it."""
        unpacked = self.result()
        for top, folder in FOLDERS.items():
            with safefs.opened(data_fd, folder) as target:
                merge(self._staged_fd, target, top)
        return unpacked

    def end(self) -> None:
        """End the process if it still works."""
        self._child.end()


def remove_leftovers(work_dir: Path, reporter: Reporter) -> None:
    """Remove what a killed run was unpacking beside the work dir, and warn of what resists. Only under the lock."""
    with safefs.opened_root(work_dir.parent) as beside:
        for entry in safefs.entries(beside):
            if _STAGING.fullmatch(entry.name):
                what = tr("vendor tarballs that an interrupted run was unpacking")
                warn_of_leftover(reporter, work_dir.parent / entry.name, what, clear_marked(beside, entry.name))


def unpack(path: Path, into_fd: int, top: str, owner: Owner, earlier: EarlierFiles | None = None) -> Unpacked:
    """Unpack a .tar.gz whose members are all `top` or below it into the empty directory into_fd, ours alone.

    Files and directories get `owner` and their mode without set-id bits and write access for others; files keep their
    mtime, or are links to the equal ones of `earlier`, with theirs. VendorError for anything but plain files and
    directories, or a damaged tarball.
    """
    with open_tarball(path) as file, closing(_Tree(into_fd, owner, earlier)) as tree:
        result, hashed = Unpacked(), _Hashed(file)
        tarball = Tarball(path, cast("BinaryIO", hashed))
        for member_path, member in tarball:
            if member_path:
                _place(tarball, tree, member_path, member, top)
            if member.isreg():
                result.files += 1
                result.bytes += member.size
        if not safefs.is_directory(into_fd, top):
            raise tarball.refusal(tr("it holds no {top}/.", top=top), tr("Is it the right file?"))
        while hashed.read(_BLOCK):
            # What follows the end of the archive.
            pass
        result.sha256 = hashed.sha256.hexdigest()
    return result


class _Hashed:
    """A file that is hashed as it is read: the hash is of what was unpacked, whatever becomes of the file meanwhile."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()

    def read(self, size: int) -> bytes:
        block = self._file.read(size)
        self.sha256.update(block)
        return block


def _place(tarball: Tarball, tree: _Tree, path: Components, member: TarInfo, top: str) -> None:
    """Make the member in the tree; VendorError when its name cannot be there."""
    name = "/".join(path)
    if path[0] != top or (member.isreg() and len(path) == 1):
        raise tarball.refusal(
            tr("{shown!r} is not below {top}/.", shown=name, top=top),
            tr("Make the tarball again with the folder {top} alone.", top=top),
        )
    try:
        if member.isdir():
            tree.make_directory(path, member.mode)
        else:
            tree.make_file(path, member, tarball.content(member))
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
        self._owner = owner
        self._earlier = earlier
        self._path: Components = ()
        self._fd = os.dup(root_fd)

    def close(self) -> None:
        os.close(self._fd)

    def make_directory(self, path: Components, mode: int) -> None:
        os.fchmod(self._enter(path), mode & 0o775 | 0o700)

    def make_file(self, path: Components, member: TarInfo, content: Iterator[bytes]) -> None:
        parent = self._enter(path[:-1])
        mode = member.mode & 0o775 | 0o400
        if self._earlier is not None and self._earlier.holds(member.size):
            whole = b"".join(content)
            owner = self._owner or (os.geteuid(), os.getegid())
            if self._earlier.link(path, whole, mode, owner, parent):
                return
            content = iter([whole])
        fd = self._create(parent, path[-1])
        try:
            for piece in content:
                write_all(fd, piece)
            if self._owner is not None:
                os.fchown(fd, *self._owner)
            os.fchmod(fd, mode)
            mtime = member.mtime if 0 <= member.mtime < _LATEST else 0
            os.utime(fd, (mtime, mtime))
        finally:
            os.close(fd)

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
        if self._owner is not None:
            os.fchown(fd, *self._owner)
        return fd


def merge(src_fd: int, dst_dir_fd: int, name: str, path: str = "") -> None:
    """Move the tree `name` from src_fd to dst_dir_fd, on one file system, joining directories that are on both sides.

    A file takes the place of a file or link of its name. UnsafeTreeError, with the name as `path` or below it, where
    a directory meets anything else.
    """
    try:
        safefs.rename_noreplace(name, name, src_dir_fd=src_fd, dst_dir_fd=dst_dir_fd)
        return
    except FileExistsError:
        pass
    path = path or name
    is_folder, was_folder = safefs.is_directory(src_fd, name), safefs.is_directory(dst_dir_fd, name)
    if is_folder != was_folder:
        was, now = ("a directory", "a file") if was_folder else (tr("a link or a file"), "a directory")
        raise UnsafeTreeError(
            "{shown!r} is {was} in the site and {now} in a vendor tarball. Remove it from the site.",
            shown=path,
            was=was,
            now=now,
        )
    if not is_folder:
        os.rename(name, name, src_dir_fd=src_fd, dst_dir_fd=dst_dir_fd)
        return
    with safefs.opened(src_fd, name) as src, safefs.opened(dst_dir_fd, name) as dst:
        for entry in safefs.entries(src):
            merge(src, dst, entry.name, f"{path}/{entry.name}")
    os.rmdir(name, dir_fd=src_fd)
