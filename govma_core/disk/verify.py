"""Verify: what differs in a version from what was published, and what is shared that should not be."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

from govma_core.context import Context
from govma_core.disk.unshare import shared_files
from govma_core.errors import UnsafeTreeError
from govma_core.fs import safefs
from govma_core.fs.walk import GONE, Directories, join, walk
from govma_core.text.globs import globs
from govma_core.versions.contents import ContentsStore, FileRecord, record_file, record_link

Kind = Literal["changed", "mode", "owner", "missing", "added", "held"]
"""What differs; `held` could not be read, because a process holds it to itself for writing (F_SETLEASE)."""


@dataclass(frozen=True, slots=True)
class Change:
    """One file that is not as it was published."""

    path: str
    kind: Kind


class Verifier:
    """Compares versions with their records. An inode that several of them share is read once."""

    def __init__(self, step: Callable[[], None] = lambda: None) -> None:
        self._step = step
        self._digests: dict[tuple[int, int, int, int], str] = {}

    def changes(self, version_fd: int, files: Mapping[str, FileRecord]) -> list[Change]:
        """Return every difference, by path. OSError when something cannot be read."""
        changes: list[Change] = []
        present: set[str] = set()
        with closing(Directories([version_fd])) as directories:
            for path, record in self._records(directories):
                present.add(path)
                kind = _difference(files.get(path), record)
                if kind is not None:
                    changes.append(Change(path, kind))
        changes += [Change(path, "missing") for path in files.keys() - present]
        return sorted(changes, key=lambda change: change.path)

    def _records(self, directories: Directories) -> Iterator[tuple[str, FileRecord | None]]:
        """Yield each file as it is now, None for one that is held."""
        for path, entries in walk(directories):
            self._step()
            for entry in entries:
                full_path = join(path, entry.name)
                try:
                    if entry.is_symlink():
                        yield full_path, record_link(directories.fd(0, path), entry.name)
                    else:
                        yield full_path, self._record(directories.fd(0, path), entry.name)
                except BlockingIOError:
                    yield full_path, None
                except OSError as error:
                    if error.errno not in (*GONE, errno.EINVAL):
                        raise
                    # Gone, or another thing meanwhile: it is reported as missing, or was never ours.
                    continue

    def _record(self, dir_fd: int, name: str) -> FileRecord:
        info = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
        key = (info.st_dev, info.st_ino, info.st_mtime_ns, info.st_size)
        digest = self._digests.get(key)
        if digest is None:
            try:
                fd, info = safefs.open_regular(dir_fd, name)
            except UnsafeTreeError:
                return FileRecord("", 0, stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid)
            try:
                digest = record_file(fd, info).digest
            finally:
                os.close(fd)
            if info.st_nlink > 1:
                self._digests[key] = digest
        return FileRecord(digest, info.st_size, stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid)


def _difference(before: FileRecord | None, now: FileRecord | None) -> Kind | None:
    if before is None:
        return "added"
    if now is None:
        return "held"
    if (before.digest, before.size) != (now.digest, now.size):
        return "changed"
    if before.mode != now.mode:
        return "mode"
    return "owner" if before[3:] != now[3:] else None


@dataclass(frozen=True, slots=True)
class Verified:
    """What differs in a version.

    `changes` are files that should be as published, `written` those that the CMS is known to write (the setting
    keep_single); both are None when there is no record of the version. `shared` are files of the live version that are
    written in place and share their inode with another version.
    """

    name: str
    changes: list[Change] | None
    written: list[Change] | None
    shared: list[str]

    @property
    def sound(self) -> bool:
        """True when nothing is different that should not be."""
        return not self.changes and not self.shared


def verify(context: Context, *, version: str | None = None) -> Iterator[Verified]:
    """Verify the named version, or all of them, the newest first."""
    settings = context.settings
    contents = ContentsStore(settings.state_dir)
    chosen = [context.versions.find(version)] if version is not None else context.versions.versions()
    live = context.versions.pointer().version
    is_written_by_cms = globs(settings.keep_single).fullmatch
    # Inodes that versions share are read once.
    verifier = Verifier(context.reporter.cancellation.check)
    with safefs.opened_root(settings.versions_dir) as versions:
        for name in (each.name for each in chosen):
            with safefs.opened(versions, name) as fd:
                shared = list(shared_files(fd, settings.keep_single)) if name == live else []
                files = contents.read(name)
                if files is None:
                    yield Verified(name, None, None, shared)
                    continue
                changes = verifier.changes(fd, files)
            yield Verified(
                name,
                [change for change in changes if not is_written_by_cms(change.path)],
                [change for change in changes if is_written_by_cms(change.path)],
                shared,
            )
