"""A new version takes little more than what is new in it: its files that equal those of earlier versions are linked.

A deploy does this twice: while the vendor tarballs are unpacked, against the live version (`earlier_files`), and once
the tree is finished, against the live version and the latest others (`link_to_earlier`).
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from types import MappingProxyType

from govma_core.context import Context
from govma_core.disk.compare import (
    IN_MEMORY,
    Inode,
    LeftAloneError,
    OpenFile,
    traits,
    xattrs_of,
)
from govma_core.disk.reflinks import can_share_extents, share_content
from govma_core.disk.side_by_side import subtrees
from govma_core.disk.unshare import shared_files
from govma_core.fs import leases, safefs
from govma_core.fs.walk import Directories, join, walk
from govma_core.process.workers import run_workers
from govma_core.text.clean import bytes_text
from govma_core.text.globs import globs
from govma_core.text.language import marked, tr
from govma_core.versions.contents import ContentsStore, FileRecord, digest_of, pack, record_file, record_link
from govma_core.versions.store import staging

_PIECES = 48
_MOST_OTHERS = 10
"""Earlier versions, the live one aside, in which an equal file is looked for."""
_LINKED = marked("{linked} of {count} files linked to identical ones of earlier versions: {saved} saved, {took:.2f} s")
_SHARED = marked(
    "{linked} of {count} files share blocks with identical ones of earlier versions: {saved} saved, {took:.2f} s"
)


@dataclass(slots=True)
class Links:
    """What linking a tree came to: files linked, and the bytes that they do not take a second time.

    Of all regular files the number and the bytes; and what is in the tree, as parts of a record (see contents.pack).
    """

    linked: int = 0
    saved: int = 0
    files: int = 0
    bytes: int = 0
    parts: list[str] = field(default_factory=list)

    def add(self, other: Links) -> None:
        """Add what another process linked."""
        self.linked += other.linked
        self.saved += other.saved
        self.files += other.files
        self.bytes += other.bytes
        self.parts += other.parts


def link_to_earlier(context: Context, name: str, tree_fd: int, known: Mapping[str, FileRecord] | None = None) -> Links:
    """Link the finished tree of the version `name` to the live version and those before, unless dedupe is off.

    What is in it is written to the contents record. `known` are files that were just compared, by their paths.
    """
    began = time.monotonic()
    settings = context.settings
    with ExitStack() as stack:
        others: list[int] = []
        not_linked: frozenset[int] = frozenset()
        if settings.dedupe != "off":
            versions = stack.enter_context(safefs.opened_root(settings.versions_dir))
            others = [stack.enter_context(safefs.opened(versions, other)) for other in _names_of_others(context)]
            if others:
                not_linked = frozenset(shared_files(others[0], settings.keep_single).values())
        single = globs(settings.keep_single)
        check = context.reporter.cancellation.check
        extents = bool(others) and _shares_extents(context)
        links = link_tree(tree_fd, others, single, check, not_linked=not_linked, known=known or {}, extents=extents)
    ContentsStore(settings.state_dir).write(name, links.parts)
    if others:
        context.reporter.info(
            tr(
                _SHARED if extents else _LINKED,
                linked=links.linked,
                count=links.files,
                saved=bytes_text(links.saved),
                took=time.monotonic() - began,
            )
        )
    return links


def _names_of_others(context: Context) -> list[str]:
    """Return the versions to link to: the live one first, then the latest."""
    live = context.versions.pointer().version
    names = [version.name for version in context.versions.versions() if version.name != live]
    return ([live] if live else []) + names[:_MOST_OTHERS]


def _shares_extents(context: Context) -> bool:
    """Tell whether blocks are to be shared instead of inodes: the settings want it, and the file system can."""
    if context.settings.reflink == "never":
        return False
    with safefs.opened_root(context.settings.versions_dir) as versions, staging(versions) as place:
        return can_share_extents(place())


def link_tree(
    tree: int,
    others: Sequence[int],
    single: re.Pattern[str],
    check: Callable[[], None] = lambda: None,
    *,
    not_linked: frozenset[int] = frozenset(),
    known: Mapping[str, FileRecord] = MappingProxyType({}),
    extents: bool = False,
    workers: int = 2,
) -> Links:
    """Link the files of `tree` to those of `others` (open versions: the live one first, then the latest ones).

    What fits `single` is never linked, and nothing is linked to the inodes `not_linked`; without `others` only the
    record of the files is made. Files in `known` that are links are not read. `check` is called now and then, and may
    raise. With `extents` blocks are shared instead of inodes. OSError for what concerns more than one file.
    """
    with closing(Directories([tree])) as directories:
        pieces = subtrees(directories, 1, _PIECES)
    elsewhere = frozenset(pieces)

    def work(share: Iterator[str], report: Callable[[None], None]) -> Links:
        leases.ignore_breaks()
        with closing(Directories([tree, *others])) as directories:
            linker = _Linker(directories, range(1, len(others) + 1), single, not_linked, known, extents)
            for piece in share:
                linker.link_piece(piece, elsewhere)
            linker.links.parts.append(pack(linker.records))
            return linker.links

    links = Links()
    for result in run_workers(pieces, workers, work, step=check):
        links.add(result)
    return links


@dataclass(slots=True)
class _Linker:
    """One worker's way through the new tree, which is root 0 of the directories; `others` are the roots that follow."""

    directories: Directories
    others: range
    single: re.Pattern[str]
    not_linked: frozenset[int]
    known: Mapping[str, FileRecord]
    extents: bool
    records: dict[str, FileRecord] = field(default_factory=dict)
    links: Links = field(default_factory=Links)

    def link_piece(self, start: str, elsewhere: frozenset[str]) -> None:
        """Link what is in the directory `start` and below, but not in those `elsewhere`."""
        for path, entries in walk(self.directories, start, elsewhere=elsewhere):
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    self._add_file(path, entry.name)
                elif entry.is_symlink():
                    record = record_link(self.directories.fd(0, path), entry.name)
                    self.records[join(path, entry.name)] = record

    def _add_file(self, path: str, name: str) -> None:
        full_path = join(path, name)
        if full_path in self.known and self._add_known(path, name, self.known[full_path]):
            return
        fd, info = safefs.open_regular(self.directories.fd(0, path), name)
        try:
            content = os.pread(fd, info.st_size + 1, 0) if info.st_size <= IN_MEMORY else None
            self._record(full_path, record_file(fd, info, content))
            if info.st_nlink > 1:
                # A link already: what came from a tarball, or two names in the new tree.
                self._count(info)
            elif info.st_size and not self.single.fullmatch(full_path):
                self._link(path, name, info, fd, content)
        finally:
            os.close(fd)

    def _add_known(self, path: str, name: str, record: FileRecord) -> bool:
        """Take a file that is a link as it is known; False when it is none, and has to be read."""
        info = os.stat(name, dir_fd=self.directories.fd(0, path), follow_symlinks=False)
        if not stat.S_ISREG(info.st_mode) or info.st_nlink < 2 or info.st_size != record.size:
            return False
        self._record(join(path, name), record)
        self._count(info)
        return True

    def _record(self, full_path: str, record: FileRecord) -> None:
        self.records[full_path] = record
        self.links.files += 1
        self.links.bytes += record.size

    def _count(self, info: os.stat_result) -> None:
        self.links.linked += 1
        self.links.saved += info.st_blocks * 512

    def _link(self, path: str, name: str, info: os.stat_result, fd: int, content: bytes | None) -> None:
        """Link the file to the first equal one of the other versions."""
        unequal: set[int] = set(self.not_linked)
        for root in self.others:
            try:
                other = os.stat(name, dir_fd=self.directories.fd(root, path), follow_symlinks=False)
                if other.st_ino in unequal or not stat.S_ISREG(other.st_mode) or traits(other) != traits(info):
                    continue
                unequal.add(other.st_ino)
                master = OpenFile(self.directories, Inode(other, [(root, path, name)], fixed=True))
            except (OSError, LeftAloneError):
                continue
            try:
                if master.equals_open(fd, content) and master.xattrs() == xattrs_of(fd) and master.quiet():
                    if self._share(path, name, fd, info, master):
                        self._count(info)
                    return
            except (OSError, LeftAloneError):
                # The link count at its limit, an immutable master: the new file stays, and is the next one's master.
                continue
            finally:
                master.close()

    def _share(self, path: str, name: str, fd: int, info: os.stat_result, master: OpenFile) -> bool:
        if self.extents:
            return share_content(fd, master.fd, info.st_size)
        directory = self.directories.fd(0, path)
        staged = safefs.random_name("link")
        os.link(f"/proc/self/fd/{master.fd}", staged, dst_dir_fd=directory, follow_symlinks=True)
        try:
            os.rename(staged, name, src_dir_fd=directory, dst_dir_fd=directory)
        finally:
            # Still there when it failed, and when both were names of one inode already.
            with suppress(FileNotFoundError):
                os.unlink(staged, dir_fd=directory)
        return True


@contextmanager
def earlier_files(context: Context, work_fd: int, places: Mapping[str, str]) -> Iterator[dict[str, EarlierFiles]]:
    """Yield the live version's files as far as they can be linked to from the work dir, by the keys of `places`.

    `places` are directories of a version. Empty when nothing is to be linked, or another file system is between.
    """
    live = context.versions.pointer().version
    if context.settings.dedupe == "off" or live is None or _shares_extents(context):
        yield {}
        return
    single = globs(context.settings.keep_single)
    with safefs.opened_root(context.settings.versions_dir) as versions, safefs.opened(versions, live) as version:
        near = os.fstat(version).st_dev == os.fstat(work_fd).st_dev
        not_linked = frozenset(shared_files(version, context.settings.keep_single).values())
        yield {top: EarlierFiles(version, place, single, not_linked) for top, place in places.items()} if near else {}


class EarlierFiles:
    """The files of an open version below `prefix`. Those that fit `single`, and inodes `not_linked`, get no link."""

    def __init__(self, version_fd: int, prefix: str, single: re.Pattern[str], not_linked: frozenset[int]) -> None:
        self._version = version_fd
        self._prefix = prefix
        self._is_single = single.fullmatch
        self._not_linked = not_linked
        self._directories: Directories | None = None

    def link(self, path: tuple[str, ...], record: FileRecord, dir_fd: int) -> bool:
        """Make the last name of `path` in dir_fd a link to the version's file of that path.

        False when that is not as recorded, or must stay single.
        """
        if not record.size or self._is_single(f"{self._prefix}/{'/'.join(path)}"):
            return False
        with suppress(OSError, LeftAloneError), self._opened(path, record) as master:
            if master.info.st_ino not in self._not_linked and master.quiet():
                os.link(f"/proc/self/fd/{master.fd}", path[-1], dst_dir_fd=dir_fd, follow_symlinks=True)
                return True
        return False

    def read(self, path: tuple[str, ...], record: FileRecord) -> tuple[bytes, int] | None:
        """Return the content and mtime (ns) of the version's file; None when it is large or not as recorded."""
        if record.size <= IN_MEMORY:
            with suppress(OSError, LeftAloneError), self._opened(path, record) as master:
                content = master.content()
                return (content, master.info.st_mtime_ns) if digest_of(content) == record.digest else None
        return None

    @contextmanager
    def _opened(self, path: tuple[str, ...], record: FileRecord) -> Iterator[OpenFile]:
        """Yield the version's file opened; LeftAloneError when content, mode, owner or attributes are others."""
        if self._directories is None:
            # Made by the process that uses it.
            leases.ignore_breaks()
            self._directories = Directories([self._version])
        *above, name = path
        directory = "/".join((self._prefix, *above))
        info = os.stat(name, dir_fd=self._directories.fd(0, directory), follow_symlinks=False)
        if (info.st_size, info.st_mode) != (record.size, stat.S_IFREG | record.mode):
            raise LeftAloneError("changed meanwhile")
        master = OpenFile(self._directories, Inode(info, [(0, directory, name)], fixed=True))
        try:
            content = master.content() if record.size <= IN_MEMORY else None
            if record_file(master.fd, master.info, content) != record or master.xattrs():
                raise LeftAloneError("changed meanwhile")
            yield master
        finally:
            master.close()
