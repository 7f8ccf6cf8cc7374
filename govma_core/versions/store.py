"""The versions directory: which versions there are, and what `current-version` points to."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from math import inf
from pathlib import Path

from govma_core.errors import PreflightError, PublishError, RefusedError, UsageError
from govma_core.fs import safefs, trees
from govma_core.text.clean import clean_line
from govma_core.text.language import tr

PREFIX = "data-build--"
POINTER = "current-version"
LINK_PREFIX = "govma-link"
INCOMING_PREFIX = "govma-incoming"
STAGING_PREFIX = "govma-staging"
REMOVED_PREFIX = "govma-removed"
"""Hidden names of ours beside the versions are `.<prefix>-<16 hex>`: a link about to be the pointer, a version being
copied, links and copies about to be renamed into a version, a version being removed."""

OURS = re.compile(rf"\.({LINK_PREFIX}|{INCOMING_PREFIX}|{STAGING_PREFIX}|{REMOVED_PREFIX})-[0-9a-f]{{16}}")

# Not strptime: importing it costs as much as reading a hundred versions, and it accepts other spellings.
_NAME = re.compile(PREFIX + r"([0-9]{4})-([0-9]{2})-([0-9]{2})-([0-9]{2})h([0-9]{2})m([0-9]{2})s")
_FORMAT = PREFIX + "%Y-%m-%d-%Hh%Mm%Ss"
_REQUIRED = ("html", "system")


def version_name(started: datetime) -> str:
    """Return the name of a version whose run started at this local time."""
    return started.strftime(_FORMAT)


def version_time(name: str) -> datetime | None:
    """Return the local time that the name tells (naive), None when the name is not that of a version."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    year, month, day, hour, minute, second = map(int, match.groups())
    try:
        return datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - local time, as the name tells it
    except ValueError:
        return None


def local_epoch(local: datetime | None) -> float:
    """Return a local time in seconds since the epoch; of two possible ones the later."""
    if local is None:
        return 0.0
    try:
        return local.replace(fold=1).timestamp()
    except (ValueError, OverflowError):
        return inf if local.year > datetime.now().astimezone().year else 0.0


@dataclass(frozen=True, slots=True)
class Version:
    """A directory that can be made live: `local_time` is what its name tells (None for an odd name)."""

    name: str
    local_time: datetime | None
    complete: bool


@dataclass(frozen=True, slots=True)
class Pointer:
    """What `current-version` is and leads to.

    `version` is the name of the version it leads to, None when it leads to none. `target` is the link's text, None
    when it is no link. `problem` is a sentence when an operator should look at it.
    """

    version: str | None
    target: str | None
    problem: str = ""
    blocks: bool = False
    """True when a promotion cannot replace it by a rename (a directory or file stands there)."""
    foreign: bool = False
    """True when it leads out of the versions directory."""


class VersionStore:
    """Reads the versions directory anew at each call; the disk is the truth."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def versions(self) -> list[Version]:
        """List the versions by name, newest first; other names in the directory are left out."""
        with self._opened() as fd:
            versions = [self._look(fd, entry.name) for entry in safefs.entries(fd) if self._is_version(entry)]
        return sorted(versions, key=lambda version: version.name, reverse=True)

    def other_names(self) -> list[str]:
        """List the other names in the directory, without hidden ones."""
        with self._opened() as fd:
            return sorted(
                entry.name
                for entry in safefs.entries(fd)
                if not self._is_version(entry) and entry.name != POINTER and not entry.name.startswith(".")
            )

    def pointer(self) -> Pointer:
        """Read `current-version`."""
        with self._opened() as fd:
            return self._read_pointer(fd)

    def find(self, prefix: str) -> Version:
        """Return the version with this name, or the only one whose name begins so (`data-build--` may be left out).

        A directory with an odd name is found by its whole name. UsageError lists the candidates when there are
        several, RefusedError all versions when there is none.
        """
        if not prefix:
            raise UsageError("No version is named. There are:\n{listing}", listing=self.listing())
        matches = [
            v for v in self.versions() if v.name.startswith(prefix) or v.name.removeprefix(PREFIX).startswith(prefix)
        ]
        exact = [v for v in matches if v.name == prefix]
        if len(exact or matches) == 1:
            return (exact or matches)[0]
        with self._opened() as fd:
            if _plain(prefix) and prefix != POINTER and safefs.is_directory(fd, prefix):
                return self._look(fd, prefix)
        if matches:
            names = _listing([v.name for v in matches])
            raise UsageError("{wanted!r} does not name one version; it could be:\n{names}", wanted=prefix, names=names)
        raise RefusedError(
            "There is no version {wanted!r} in {directory}. There are:\n{listing}",
            wanted=prefix,
            directory=self.directory,
            listing=self.listing(),
        )

    def require_whole(self, version: Version) -> None:
        """Refuse a version that is not whole, with the list of what there is."""
        if not version.complete:
            raise RefusedError(
                "{name} is incomplete (no html/ or no system/ in it) and is not made live. There are:\n{listing}",
                name=version.name,
                listing=self.listing(),
            )

    def require_promotable(self, version: Version) -> None:
        """Refuse a version that is not whole; PublishError when a rename cannot replace the link."""
        self.require_whole(version)
        pointer = self.pointer()
        if pointer.blocks:
            raise PublishError(pointer.problem)

    def listing(self) -> str:
        """Return the names of all versions, a line each, for an error message."""
        current = self.pointer().version
        marks = {current: tr("  (live)")}
        return _listing(
            [v.name + marks.get(v.name, "" if v.complete else tr("  (incomplete)")) for v in self.versions()]
        )

    @contextmanager
    def _opened(self) -> Iterator[int]:
        try:
            fd = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            advice = tr("Create it, or set versions_dir (in the environment GOV_MA_SERVER_BASE_DIR) to where they are.")
            raise PreflightError(
                [
                    tr(
                        "versions_dir ({directory}) cannot be read: {strerror}. {advice}",
                        directory=self.directory,
                        strerror=error.strerror,
                        advice=advice,
                    )
                ]
            ) from None
        try:
            yield fd
        finally:
            os.close(fd)

    @staticmethod
    def _is_version(entry: os.DirEntry[str]) -> bool:
        return version_time(entry.name) is not None and entry.is_dir(follow_symlinks=False)

    @staticmethod
    def _look(fd: int, name: str) -> Version:
        return Version(name, version_time(name), missing_parts(fd, name) == [])

    def _read_pointer(self, fd: int) -> Pointer:
        info = safefs.lstat(fd, POINTER)
        where = self.directory / POINTER
        if info is None:
            return Pointer(
                None, None, tr("{where} is missing: nothing is live. Deploy, or promote a version.", where=where)
            )
        if not stat.S_ISLNK(info.st_mode):
            what = tr("a directory") if stat.S_ISDIR(info.st_mode) else tr("a file")
            return Pointer(
                None,
                None,
                tr(
                    "{where} is {what}, not a link. Move it away by hand, then promote a version.",
                    where=where,
                    what=what,
                ),
                blocks=True,
            )
        target = os.readlink(POINTER, dir_fd=fd)
        name = self._name_inside(target)
        if name is None:
            problem = tr(
                "{where} points to {target}, which is not in {directory}. Promote a version to set it right.",
                where=where,
                target=clean_line(target),
                directory=self.directory,
            )
            return Pointer(None, target, problem, foreign=True)
        if not safefs.is_directory(fd, name):
            return Pointer(
                None,
                target,
                tr(
                    "{where} points to {target}, which is not there. Promote a version or deploy.",
                    where=where,
                    target=clean_line(target),
                ),
            )
        return Pointer(name, target)

    def _name_inside(self, target: str) -> str | None:
        """Return the plain name that a link's text leads to, when that is directly inside the versions directory."""
        path = Path(os.path.normpath(self.directory / target))
        return path.name if path.parent == Path(os.path.normpath(self.directory)) and _plain(path.name) else None


def missing_parts(dir_fd: int, name: str) -> list[str]:
    """Name the directories that a complete version has and this one has not."""
    try:
        with safefs.opened(dir_fd, name) as version:
            return [part for part in _REQUIRED if not safefs.is_directory(version, part)]
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EACCES):
            return list(_REQUIRED)
        raise


def _plain(name: str) -> bool:
    return bool(name) and "/" not in name and name not in (".", "..") and not name.startswith(".")


def _listing(names: Sequence[str]) -> str:
    return "\n".join(f"  {name}" for name in names) or tr("  (none)")


@contextmanager
def staging(versions_fd: int) -> Iterator[Callable[[], int]]:
    """Yield a function that returns the descriptor of a private directory beside the versions.

    The directory is made at the first call, and removed after the block; that of a killed run by the next run's sweep.
    """
    name = safefs.random_name(STAGING_PREFIX)
    descriptors: list[int] = []

    def place() -> int:
        if not descriptors:
            descriptors.append(trees.make_marked(versions_fd, name))
        return descriptors[0]

    try:
        yield place
    finally:
        for fd in descriptors:
            # The next sweep names what cannot be removed.
            trees.clear_opened(versions_fd, name, fd)
            os.close(fd)
