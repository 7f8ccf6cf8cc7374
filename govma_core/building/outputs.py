"""What a step of a build made: told from how its tree was before, recorded as data, put into other trees."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from govma_core.building import tree_snapshot
from govma_core.fs import safefs, trees

_PIECE = 1 << 20

Open = Callable[[str], int]
"""Opens the content of a file of the outputs, by its path, for reading."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """Paths relative to the tree, with sha256 and permission bits of files, targets of links, bits of new folders."""

    files: dict[str, tuple[str, int]] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    folders: dict[str, int] = field(default_factory=dict)
    removed: tuple[str, ...] = ()

    def below(self, folder: str) -> Outputs:
        """Return those in a folder, by their paths in the tree; '' for all."""
        start = f"{folder}/" if folder else ""
        return Outputs(
            {path: about for path, about in self.files.items() if path.startswith(start)},
            {path: target for path, target in self.links.items() if path.startswith(start)},
            {path: mode for path, mode in self.folders.items() if path.startswith(start)},
            tuple(path for path in self.removed if path.startswith(start)),
        )

    def to_plain(self) -> dict[str, Any]:
        """Return them as JSON holds them."""
        return {"files": self.files, "links": self.links, "folders": self.folders, "removed": self.removed}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Outputs:
        """Return what to_plain() took apart; KeyError, TypeError, ValueError or AttributeError for anything else."""
        return cls(
            {path: (str(sha), int(mode)) for path, (sha, mode) in plain["files"].items()},
            {path: str(target) for path, target in plain["links"].items()},
            {path: int(mode) for path, mode in plain["folders"].items()},
            tuple(map(str, plain["removed"])),
        )

    def put(self, tree_fd: int, open_file: Open, owner: tuple[int, int] | None) -> None:
        """Put them into a tree, over what is there; entries belong to `owner`, None for whoever runs.

        UnsafeTreeError where a folder on the way is a link or a file.
        """
        for path in self.removed:
            *folders, name = path.split("/")
            # The folder may have been removed with all that was in it.
            with suppress(FileNotFoundError), safefs.opened(tree_fd, *folders) as parent:
                trees.remove(parent, name)
        for path in sorted(self.folders):
            with safefs.opened(tree_fd, *path.split("/"), make=True):
                pass
        for path in (*self.files, *self.links):
            *folders, name = path.split("/")
            with safefs.opened(tree_fd, *folders, make=True) as parent:
                trees.remove(parent, name)
                if path in self.links:
                    safefs.make_symlink(parent, name, self.links[path], owner)
                else:
                    _copy(open_file(path), parent, name, self.files[path][1], owner)
        # The deepest first, as one may not be writable.
        for path, mode in sorted(self.folders.items(), reverse=True):
            with safefs.opened(tree_fd, *path.split("/")) as folder:
                _finish(folder, mode, owner)


def clashes(first: Outputs, second: Outputs) -> list[str]:
    """Return the paths that two steps that know nothing of each other made different, or one below the other's."""
    one, other = _made(first), _made(second)
    paths = {path for path in one.keys() & other.keys() if one[path] != other[path]}
    for mine, theirs in ((one, other), (other, one)):
        paths |= {path for path, content in mine.items() if content and any(map(theirs.__contains__, _above(path)))}
    return sorted(paths)


def _above(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path


def differences(first: Outputs, second: Outputs) -> list[str]:
    """Return the paths in which what a step made twice differs."""
    one, other = _made(first), _made(second)
    return sorted(path for path in one.keys() | other.keys() if one.get(path, "") != other.get(path, ""))


def _made(outputs: Outputs) -> dict[str, object]:
    """Return what there is of each path; None for one that was removed."""
    return outputs.files | outputs.links | dict.fromkeys(outputs.removed)


def find_outputs(before: tree_snapshot.Snapshot, tree_fd: int, builder_uid: int | None) -> Outputs:
    """Compare a tree that is ours again with how it was; BuildError for what the build's user cannot have made."""
    changes = tree_snapshot.changes(before, tree_fd, builder_uid)
    files, links = {}, {}
    for path in changes.files:
        fd, info = _open(tree_fd, path, builder_uid)
        with os.fdopen(fd, "rb") as file:
            files[path] = (_hash(file, info.st_size), stat.S_IMODE(info.st_mode) & 0o777)
    for path in changes.links:
        *folders, name = path.split("/")
        with safefs.opened(tree_fd, *folders) as parent:
            links[path] = os.readlink(name, dir_fd=parent)
    return Outputs(files, links, changes.folders, changes.removed)


def _hash(file: BinaryIO, size: int) -> str:
    """Return the sha256 of so many bytes: a process of the build's user may have the file open, and go on."""
    digest = hashlib.sha256()
    while size > 0 and (piece := file.read(min(size, _PIECE))):
        digest.update(piece)
        size -= len(piece)
    return digest.hexdigest()


def opener(trees_fd: int, name: str, builder_uid: int | None) -> Open:
    """Return how outputs are opened that lie in the tree of their step, a directory of trees_fd."""
    return lambda path: _open(trees_fd, f"{name}/{path}", builder_uid)[0]


def _open(tree_fd: int, path: str, builder_uid: int | None) -> tuple[int, os.stat_result]:
    """Open a file that the build made; BuildError when it is another's, or mostly holes, which it became since."""
    *folders, name = path.split("/")
    with safefs.opened(tree_fd, *folders) as parent:
        fd, info = safefs.open_regular(parent, name)
    try:
        if builder_uid is not None:
            tree_snapshot.refuse_foreign(path, info, {builder_uid})
        tree_snapshot.refuse_sparse(path, info)
    except BaseException:
        os.close(fd)
        raise
    return fd, info


def _copy(source: int, parent: int, name: str, mode: int, owner: tuple[int, int] | None) -> None:
    try:
        target = os.open(name, safefs.CREATE_FLAGS, 0o600, dir_fd=parent)
        try:
            # No more than there is: a process of the build's user may have it open, and go on.
            trees.copy_content(source, target, os.fstat(source).st_size)
            _finish(target, mode, owner)
        finally:
            os.close(target)
    finally:
        os.close(source)


def _finish(fd: int, mode: int, owner: tuple[int, int] | None) -> None:
    if owner is not None:
        os.fchown(fd, *owner)
    os.fchmod(fd, mode)
