"""The vendor tarballs: parts of the site that are not in its repository, unpacked into every version.

A tarball is unpacked into a private directory first, whole or not at all, and then moved to where it belongs.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from govma_core.deploy.tarball import Member, Tarball, open_tarball
from govma_core.errors import GovmaError, UnsafeTreeError, VendorError
from govma_core.fs import safefs
from govma_core.fs.permissions import open_file
from govma_core.fs.trees import clear_marked, clear_opened, make_marked
from govma_core.process.workers import Forked, write_all
from govma_core.text.language import tr

_GZIP_MAGIC = b"\x1f\x8b"
_LATEST = float(1 << 33)


@dataclass(slots=True)
class Unpacked:
    """What a tarball gave: regular files, their bytes, and the sha256 of the tarball itself."""

    files: int = 0
    bytes: int = 0
    sha256: str = ""


def preflight_tarball(path: Path, setting: str) -> list[str]:
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


class Earlier(Protocol):
    """Files that are there already, and can be linked to instead of being written once more."""

    def holds(self, size: int) -> bool:
        """Tell whether files of this size are looked for."""

    def link(self, path: tuple[str, ...], content: bytes, mode: int, owner: tuple[int, int], dir_fd: int) -> bool:
        """Make the last name of `path` in dir_fd a link to an equal file; False when there is none."""


def unpack(
    tarball: Path,
    into_fd: int,
    top: str,
    owner: tuple[int, int] | None,
    check: Callable[[], None],
    earlier: Earlier | None = None,
) -> Unpacked:
    """Unpack a .tar.gz whose members are all `top` or below it into the empty directory into_fd, ours alone.

    Files and directories get `owner` (None: ours) and their mode without set-id bits and write access for others;
    files keep their mtime, or are links to the equal ones of `earlier`, with theirs. VendorError for anything but plain
    files and directories, or a damaged tarball.
    """
    fd = open_tarball(tarball)
    try:
        with closing(Tarball(tarball, fd)) as source, closing(_Tree(into_fd, owner, earlier)) as tree:
            result = Unpacked()
            for member in source:
                check()
                if member.path:
                    _place(source, tree, member, top)
                if not member.is_dir:
                    result.files += 1
                    result.bytes += member.size
            result.sha256 = source.sha256()
        if not safefs.is_directory(into_fd, top):
            raise source.refusal(tr("it holds no {top}/.", top=top), tr("Is it the right file?"))
    finally:
        os.close(fd)
    return result


def _place(source: Tarball, tree: _Tree, member: Member, top: str) -> None:
    shown = "/".join(member.path)
    if member.path[0] != top or (not member.is_dir and len(member.path) == 1):
        raise source.refusal(
            tr("{shown!r} is not below {top}/.", shown=shown, top=top),
            tr("Make the tarball again with the folder {top} alone.", top=top),
        )
    try:
        if member.is_dir:
            tree.directory(member)
        else:
            tree.file(source, member)
    except (NotADirectoryError, IsADirectoryError):
        advice = tr("Make the tarball again from a fresh directory.")
        raise source.refusal(
            tr("{shown!r} is a file in one place and a directory in another.", shown=shown), advice
        ) from None
    except OSError as error:
        if error.errno not in (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ):
            raise
        advice = tr("Make the tarball again with shorter or plainer names.")
        raise source.refusal(
            tr("{shown!r} cannot be created: {strerror}.", shown=shown[:300], strerror=error.strerror), advice
        ) from None


class _Tree:
    """Creates files below one directory. The directories down to the last one used stay open: the next is near."""

    def __init__(self, root_fd: int, owner: tuple[int, int] | None, earlier: Earlier | None) -> None:
        self._owner = owner
        self._earlier = earlier
        self._path: tuple[str, ...] = ()
        self._fds = [os.dup(root_fd)]

    def close(self) -> None:
        while self._fds:
            os.close(self._fds.pop())

    def directory(self, member: Member) -> None:
        os.fchmod(self._enter(member.path), member.mode & 0o755 | 0o700)

    def file(self, source: Tarball, member: Member) -> None:
        parent = self._enter(member.path[:-1])
        mode = member.mode & 0o755 | 0o400
        content = source.content(member)
        if self._earlier is not None and self._earlier.holds(member.size):
            whole = b"".join(content)
            if self._linked(self._earlier, member.path, whole, mode, parent):
                return
            content = iter([memoryview(whole)])
        fd = self._create(parent, member.path[-1])
        try:
            for piece in content:
                while piece:
                    piece = piece[os.write(fd, piece) :]
            if self._owner is not None:
                os.fchown(fd, *self._owner)
            os.fchmod(fd, mode)
            mtime = member.mtime if 0 <= member.mtime < _LATEST else 0
            os.utime(fd, (mtime, mtime))
        finally:
            os.close(fd)

    def _linked(self, earlier: Earlier, path: tuple[str, ...], content: bytes, mode: int, parent: int) -> bool:
        owner = self._owner or (os.geteuid(), os.getegid())
        return earlier.link(path, content, mode, owner, parent)

    def _create(self, parent: int, name: str) -> int:
        try:
            return os.open(name, safefs.CREATE_FLAGS, 0o600, dir_fd=parent)
        except FileExistsError:
            # A file that is in the tarball twice: the later one counts, as with tar. A directory is not removed so.
            os.unlink(name, dir_fd=parent)
            return os.open(name, safefs.CREATE_FLAGS, 0o600, dir_fd=parent)

    def _enter(self, path: tuple[str, ...]) -> int:
        if path != self._path:
            common = 0
            for ours, theirs in zip(self._path, path, strict=False):
                if ours != theirs:
                    break
                common += 1
            while len(self._fds) > common + 1:
                os.close(self._fds.pop())
            self._path = path[:common]
            for name in path[common:]:
                self._fds.append(self._descend(self._fds[-1], name))
                self._path += (name,)
        return self._fds[-1]

    def _descend(self, parent: int, name: str) -> int:
        try:
            fd = safefs.make_directory(parent, name)
        except FileExistsError:
            return os.open(name, safefs.DIRECTORY_FLAGS, dir_fd=parent)
        if self._owner is not None:
            os.fchown(fd, *self._owner)
        return fd


def merge(src_fd: int, dst_dir_fd: int, name: str, shown: str = "") -> None:
    """Move the tree `name` from src_fd to dst_dir_fd, on one file system, joining directories that are on both sides.

    A file takes the place of a file or link of its name. UnsafeTreeError, with the path as `shown` or below it, where
    a directory meets anything else.
    """
    try:
        safefs.rename_noreplace(name, name, src_dir_fd=src_fd, dst_dir_fd=dst_dir_fd)
        return
    except FileExistsError:
        pass
    shown = shown or name
    ours, theirs = safefs.is_directory(src_fd, name), safefs.is_directory(dst_dir_fd, name)
    if ours != theirs:
        was, now = ("a directory", "a file") if theirs else (tr("a link or a file"), "a directory")
        raise UnsafeTreeError(
            tr(
                "{shown!r} is {was} in the site and {now} in a vendor tarball. Remove it from the site.",
                shown=shown,
                was=was,
                now=now,
            )
        )
    if not ours:
        os.rename(name, name, src_dir_fd=src_fd, dst_dir_fd=dst_dir_fd)
        return
    with safefs.opened(src_fd, name) as src, safefs.opened(dst_dir_fd, name) as dst:
        for entry in safefs.entries(src):
            merge(src, dst, entry.name, f"{shown}/{entry.name}")
    os.rmdir(name, dir_fd=src_fd)


_PREFIX = "govma-vendor"
_STAGING = re.compile(rf"\.{_PREFIX}-[0-9a-f]{{16}}")


class Unpacking:
    """Tarballs on their way; `tarballs` are their paths by top folder."""

    def __init__(
        self,
        staged_fd: int,
        tarballs: Mapping[str, Path],
        owner: tuple[int, int] | None,
        earlier: Mapping[str, Earlier],
    ) -> None:
        self.staged_fd = staged_fd
        self._child = Forked(
            lambda answer: write_all(answer, json.dumps(_unpack_all(staged_fd, tarballs, owner, earlier)).encode())
        )

    def result(self) -> dict[str, Unpacked]:
        """Wait until all is unpacked, and give what each tarball held; VendorError when one is not as it must be."""
        answer: dict[str, Any] = json.loads(self._child.read_all() or b"{}")
        if "system" in answer:
            raise OSError(*answer["system"])
        if "unpacked" not in answer:
            raise VendorError(
                answer.get("refused") or tr("The vendor tarballs were not unpacked: the process was killed.")
            )
        return {top: Unpacked(**found) for top, found in answer["unpacked"].items()}

    def end(self) -> None:
        """End the process if it still works."""
        self._child.end()


@contextmanager
def unpacking(
    work_dir: Path,
    work_fd: int,
    tarballs: Mapping[str, Path],
    owner: tuple[int, int] | None,
    earlier: Mapping[str, Earlier] | None = None,
) -> Iterator[Unpacking]:
    """Unpack for the time of the block; the private directory is gone after it.

    `earlier` gives, by top folder, the files that can be linked to instead of being written.
    """
    with safefs.opened_root(work_dir.parent) as beside:
        # Moving needs one file system; a work dir that is mounted has another one inside than beside it.
        place = beside if os.fstat(beside).st_dev == os.fstat(work_fd).st_dev else work_fd
        name = safefs.random_name(_PREFIX)
        staged = make_marked(place, name)
        try:
            started = Unpacking(staged, tarballs, owner, earlier or {})
            try:
                yield started
            finally:
                started.end()
        finally:
            clear_opened(place, name, staged)
            os.close(staged)


def sweep_staging(work_dir: Path) -> dict[Path, list[str] | None]:
    """Remove what a killed run was unpacking beside the work dir. Only under the lock.

    Return, by path, what resisted in each; None for one that only has such a name, and was left alone.
    """
    with safefs.opened_root(work_dir.parent) as beside:
        names = [entry.name for entry in safefs.entries(beside) if _STAGING.fullmatch(entry.name)]
        return {work_dir.parent / name: clear_marked(beside, name) for name in names}


def _unpack_all(
    staged_fd: int,
    tarballs: Mapping[str, Path],
    owner: tuple[int, int] | None,
    earlier: Mapping[str, Earlier],
) -> dict[str, Any]:
    try:
        unpacked = {
            top: unpack(path, staged_fd, top, owner, lambda: None, earlier.get(top)) for top, path in tarballs.items()
        }
    except GovmaError as error:
        return {"refused": str(error)}
    except OSError as error:
        name = os.fsdecode(error.filename) if error.filename is not None else None
        return {"system": [error.errno, error.strerror, name]}
    return {"unpacked": {top: asdict(found) for top, found in unpacked.items()}}
