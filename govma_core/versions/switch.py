"""Making a version live: fresh css and js, everything on the disk, then one rename."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from govma_core.errors import PublishError, RefusedError, UnsafeTreeError
from govma_core.fs import safefs
from govma_core.text.clean import clean_line
from govma_core.text.language import tr
from govma_core.versions.store import OURS, POINTER, Pointer, VersionStore, missing_parts

_DEEPEST = 100
"""Levels below `system/user` in which css and js are looked for."""
_GONE = (FileNotFoundError, NotADirectoryError, UnsafeTreeError)
"""The CMS goes on writing there: what is gone, or changed its kind, in this moment needs no fresh time."""


@dataclass(slots=True)
class Fresh:
    """How many css and js files have the present time, how many could not get it, and why the first could not."""

    files: int = 0
    stale: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True)
class Switch:
    """What a switch did: where the link led before, which files were freshened, seconds for the work and syncfs.

    `at` is time.monotonic() of the moment when the link had its new name.
    """

    previous: Pointer
    fresh: Fresh
    seconds: float
    sync_seconds: float
    at: float = 0.0


def switch(
    store: VersionStore,
    name: str,
    owner: tuple[int, int] | None,
    point_of_no_return: Callable[[], None] = lambda: None,
) -> Switch:
    """Point `current-version` to the complete version `name` in one rename.

    css and js that PHP serves with their mtime as Last-Modified are touched before, so that browsers fetch them again.
    `owner` is given to the link. RefusedError when the version is not whole; PublishError when the link cannot be
    replaced. `point_of_no_return` is called just before the rename, and may raise.
    """
    began = time.monotonic()
    with safefs.opened_root(store.directory) as fd:
        pointer = store.pointer()
        if pointer.blocks:
            raise PublishError(pointer.problem)
        missing = missing_parts(fd, name)
        if missing:
            raise RefusedError(
                "{name} is not a complete version: {missing} missing. There are:\n{listing}",
                name=name,
                missing=tr(" and ").join(missing),
                listing=store.listing(),
            )
        sweep_links(fd)
        with safefs.opened(fd, name) as version:
            fresh = freshen(version)
        syncing = time.monotonic()
        safefs.syncfs(fd)
        synced = time.monotonic()
        point_of_no_return()
        try:
            safefs.replace_symlink(fd, POINTER, name, owner)
        except OSError as error:
            # An fsync that fails after the rename does not undo it.
            if store.pointer().version != name:
                raise PublishError(
                    "{directory} could not be switched: {strerror}.",
                    directory=store.directory / POINTER,
                    strerror=error.strerror,
                ) from error
        switched = time.monotonic()
    return Switch(pointer, fresh, switched - began - (synced - syncing), synced - syncing, switched)


def freshen(version_fd: int) -> Fresh:
    """Set the mtime of every css and js file below `system/user` to now; one that resists is left as it is."""
    fresh = Fresh()
    with suppress(*_GONE), safefs.opened(version_fd, "system", "user") as user:
        _freshen(user, time.time_ns(), fresh)
    return fresh


def _freshen(fd: int, now: int, fresh: Fresh, depth: int = 1) -> None:
    below = []
    with os.scandir(fd) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                below.append(entry.name)
            elif entry.name.endswith((".css", ".js")) and entry.is_file(follow_symlinks=False):
                # The web server's user can hold a file (F_SETLEASE), and must not hold up a rollback by that.
                with _counted(fresh, entry.name):
                    fresh.files += _touch(fd, entry.name, now)
    # What is nested without end must not keep an operator from rolling back.
    for name in below if depth < _DEEPEST else ():
        with _counted(fresh, name), safefs.opened(fd, name) as child:
            _freshen(child, now, fresh, depth + 1)


@contextmanager
def _counted(fresh: Fresh, name: str) -> Iterator[None]:
    """Go on behind what cannot be freshened, and count it unless it is gone."""
    try:
        yield
    except _GONE:
        pass
    except OSError as error:
        fresh.stale += 1
        fresh.why = fresh.why or f"{clean_line(name)}: {error.strerror}"


def _touch(fd: int, name: str, now: int) -> int:
    """Set a file's time, and return 1; 0 when it is not of the directory's owner and has names elsewhere, too."""
    file, info = safefs.open_regular(fd, name)
    try:
        # A user who may write here can link to files of others that he may write, in other directories.
        if info.st_nlink > 1 and info.st_uid != os.fstat(fd).st_uid:
            return 0
        os.utime(file, ns=(now, now))
    finally:
        os.close(file)
    return 1


def sweep_links(dir_fd: int) -> None:
    """Remove staged links that a killed promotion left. Only under the lock: no other run is staging then."""
    for entry in safefs.entries(dir_fd):
        if OURS.fullmatch(entry.name) and entry.is_symlink():
            os.unlink(entry.name, dir_fd=dir_fd)
