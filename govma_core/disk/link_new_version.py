"""A new version takes little more than what is new in it: equal files of earlier versions are linked to."""

from __future__ import annotations

import dataclasses
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from govma_core.context import Context
from govma_core.disk.compare import HELD, Directories, Inode, LeftAloneError, OpenFile, is_regular, traits, xattrs_of
from govma_core.disk.reflinks import can_share_extents, share_content
from govma_core.disk.side_by_side import subtrees
from govma_core.disk.unshare import shared_files
from govma_core.fs import leases, safefs
from govma_core.process.workers import Tell, run_workers
from govma_core.text.clean import bytes_text
from govma_core.text.globs import globs
from govma_core.text.language import marked, tr
from govma_core.versions.contents import ContentsStore, Sealed, pack, seal, seal_link
from govma_core.versions.store import staging

_PIECES = 48


@dataclass(slots=True)
class Born:
    """What came of it: files linked, and the bytes that they do not take a second time.

    Of all regular files the number and the bytes; and what is in the tree, as parts of a record (see contents.pack).
    """

    linked: int = 0
    saved: int = 0
    files: int = 0
    bytes: int = 0
    parts: list[str] = field(default_factory=list)


def link_tree(
    tree: int,
    others: Sequence[int],
    single: re.Pattern[str],
    check: Callable[[], None] = lambda: None,
    *,
    apart: frozenset[int] = frozenset(),
    extents: bool = False,
    workers: int = 2,
) -> Born:
    """Link the files of `tree` to those of `others` (open versions: the live one first, then the latest ones).

    What fits `single` is never linked, nothing is linked to the inodes `apart`; without
    `others` only the files are taken down. `check` is called now and then, and may raise. With `extents` blocks are
    shared instead of inodes. OSError for what concerns more than one file.
    """
    with closing(Directories([tree])) as directories:
        pieces = subtrees(directories, 1, _PIECES)
    elsewhere = frozenset(pieces)

    def work(taken: Iterator[str], tell: Tell) -> dict[str, Any]:
        leases.ignore_breaks()
        with closing(Directories([tree, *others])) as directories:
            birth = _Birth(directories, len(others), single, apart, extents=extents)
            for piece in taken:
                for path in birth.walk(piece, elsewhere):
                    tell({"at": path})
            birth.born.parts.append(pack(birth.sealed))
            return dataclasses.asdict(birth.born)

    done = Born()
    for found in run_workers(pieces, workers, work, lambda number, told: None, check):
        done.linked += found["linked"]
        done.saved += found["saved"]
        done.files += found["files"]
        done.bytes += found["bytes"]
        done.parts += found["parts"]
    return done


class _Birth:
    def __init__(
        self, directories: Directories, others: int, single: re.Pattern[str], apart: frozenset[int], *, extents: bool
    ) -> None:
        self._apart = apart
        self._extents = extents
        self._directories = directories
        self._others = range(1, others + 1)
        self._single = single.fullmatch
        self.sealed: dict[str, Sealed] = {}
        self.born = Born()

    def walk(self, start: str, elsewhere: frozenset[str]) -> Iterator[str]:
        """Work through a piece; gives each directory that is done."""
        pending = [start]
        while pending:
            path = pending.pop()
            inside = f"{path}/" if path else ""
            for entry in safefs.entries(self._directories.fd(0, path)):
                shown = inside + entry.name
                if entry.is_file(follow_symlinks=False):
                    self._file(path, entry.name, shown)
                elif entry.is_symlink():
                    self.sealed[shown] = seal_link(self._directories.fd(0, path), entry.name)
                elif shown not in elsewhere:
                    pending.append(shown)
            yield path

    def _file(self, path: str, name: str, shown: str) -> None:
        fd, info = safefs.open_regular(self._directories.fd(0, path), name)
        try:
            content = os.pread(fd, info.st_size + 1, 0) if info.st_size <= HELD else None
            self.sealed[shown] = seal(fd, info, content)
            self.born.files += 1
            self.born.bytes += info.st_size
            if info.st_nlink > 1:
                # A link already: what came from a tarball, or two names in the new tree.
                self.born.linked += 1
                self.born.saved += info.st_blocks * 512
            elif info.st_size and not self._single(shown):
                self._link(path, name, info, fd, content)
        finally:
            os.close(fd)

    def _link(self, path: str, name: str, info: os.stat_result, fd: int, content: bytes | None) -> None:
        tried: set[int] = set(self._apart)
        for root in self._others:
            try:
                found = os.stat(name, dir_fd=self._directories.fd(root, path), follow_symlinks=False)
                if found.st_ino in tried or not is_regular(found) or traits(found) != traits(info):
                    continue
                tried.add(found.st_ino)
                master = OpenFile(self._directories, Inode(found, [(root, path, name)], fixed=True))
            except (OSError, LeftAloneError):
                continue
            try:
                if master.equals_open(fd, content) and master.xattrs() == xattrs_of(fd) and master.quiet():
                    if self._extents:
                        shared = share_content(fd, master.fd, info.st_size)
                    else:
                        self._replace(path, name, master)
                        shared = True
                    self.born.linked += shared
                    self.born.saved += info.st_blocks * 512 * shared
                    return
            except (OSError, LeftAloneError):
                # The link count at its limit, an immutable master: the new file stays, and is the next one's master.
                continue
            finally:
                master.close()

    def _replace(self, path: str, name: str, master: OpenFile) -> None:
        directory = self._directories.fd(0, path)
        staged = safefs.random_name("birth")
        os.link(f"/proc/self/fd/{master.fd}", staged, dst_dir_fd=directory, follow_symlinks=True)
        try:
            os.rename(staged, name, src_dir_fd=directory, dst_dir_fd=directory)
        finally:
            # Still there when it failed, and when both were names of one inode already.
            with suppress(FileNotFoundError):
                os.unlink(staged, dir_fd=directory)


class EarlierFiles:
    """The files of an open version below `prefix`; those that fit `single`, and inodes `apart`, are not linked to."""

    def __init__(self, version_fd: int, prefix: str, single: re.Pattern[str], apart: frozenset[int]) -> None:
        self._apart = apart
        self._version = version_fd
        self._prefix = prefix
        self._single = single.fullmatch
        self._directories: Directories | None = None

    def holds(self, size: int) -> bool:
        """Tell whether files of this size are looked for."""
        return 0 < size <= HELD

    def link(self, path: tuple[str, ...], content: bytes, mode: int, owner: tuple[int, int], dir_fd: int) -> bool:
        """Make the last name of `path` in dir_fd a link to the version's file of that path; False when none is equal.

        Equal means content, mode, owner, and no extended attributes. FileExistsError when the name is taken.
        """
        inside = "/".join((self._prefix, *path[:-1]))
        if self._single(f"{inside}/{path[-1]}"):
            return False
        if self._directories is None:
            # Made by the process that uses it.
            leases.ignore_breaks()
            self._directories = Directories([self._version])
        with suppress(OSError, LeftAloneError):
            found = os.stat(path[-1], dir_fd=self._directories.fd(0, inside), follow_symlinks=False)
            wanted = (len(content), stat.S_IFREG | mode, *owner)
            if found.st_ino in self._apart or (found.st_size, found.st_mode, found.st_uid, found.st_gid) != wanted:
                return False
            master = OpenFile(self._directories, Inode(found, [(0, inside, path[-1])], fixed=True))
            try:
                if master.content() == content and not master.xattrs() and master.quiet():
                    os.link(f"/proc/self/fd/{master.fd}", path[-1], dst_dir_fd=dir_fd, follow_symlinks=True)
                    return True
            finally:
                master.close()
        return False


_MOST = 10
"""Earlier versions, the live one aside, in which an equal file is looked for."""


@contextmanager
def earlier_files(context: Context, work_fd: int, places: Mapping[str, str]) -> Iterator[dict[str, EarlierFiles]]:
    """Yield the live version's files as far as they can be linked to from the work dir, by the keys of `places`.

    `places` are directories of a version. Empty when nothing is to be linked, or another file system is between.
    """
    live = context.versions.pointer().version
    if context.settings.dedupe == "off" or live is None or shares_extents(context):
        yield {}
        return
    single = globs(context.settings.keep_single)
    with safefs.opened_root(context.settings.versions_dir) as versions, safefs.opened(versions, live) as version:
        near = os.fstat(version).st_dev == os.fstat(work_fd).st_dev
        apart = frozenset(shared_files(version, context.settings.keep_single).values())
        yield {top: EarlierFiles(version, place, single, apart) for top, place in places.items()} if near else {}


def link_to_earlier(context: Context, name: str, tree_fd: int) -> Born:
    """Link the finished tree of the version `name` to the live version and those before, unless dedupe is off.

    What is in it is written to the contents record.
    """
    began = time.monotonic()
    with ExitStack() as stack:
        others: list[int] = []
        apart: set[int] = set()
        if context.settings.dedupe != "off":
            versions = stack.enter_context(safefs.opened_root(context.settings.versions_dir))
            others = [stack.enter_context(safefs.opened(versions, other)) for other in _others(context)]
            if others:
                apart.update(shared_files(others[0], context.settings.keep_single).values())
        single = globs(context.settings.keep_single)
        check = context.reporter.cancellation.check
        extents = bool(others) and shares_extents(context)
        born = link_tree(tree_fd, others, single, check, apart=frozenset(apart), extents=extents)
    ContentsStore(context.settings.state_dir).write(name, born.parts)
    if others:
        said = _SHARED if extents else _LINKED
        context.reporter.info(
            tr(said, linked=born.linked, count=born.files, saved=bytes_text(born.saved), took=time.monotonic() - began)
        )
    return born


_LINKED = marked("{linked} of {count} files linked to identical ones of earlier versions: {saved} saved, {took:.2f} s")
_SHARED = marked(
    "{linked} of {count} files share blocks with identical ones of earlier versions: {saved} saved, {took:.2f} s"
)


def shares_extents(context: Context) -> bool:
    """Tell whether blocks are to be shared instead of inodes: the settings want it, and the file system can."""
    if context.settings.reflink == "never":
        return False
    with safefs.opened_root(context.settings.versions_dir) as versions, staging(versions) as place:
        return can_share_extents(place())


def _others(context: Context) -> list[str]:
    """Return the versions to link to: the live one first, then the latest."""
    live = context.versions.pointer().version
    names = [version.name for version in context.versions.versions() if version.name != live]
    return ([live] if live else []) + names[:_MOST]
