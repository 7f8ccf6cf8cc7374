"""What a step of a build finds in its tree: the work dir's files, and over them what steps before it made."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property

from govma_core.building import tree_snapshot
from govma_core.building.outputs import Outputs
from govma_core.fs import safefs
from govma_core.fs.walk import Directories, join

_Item = tuple[int, str]
"""Kind and permission bits, and the content: a file's sha256 ('' until it is read), a link's target."""


@dataclass(frozen=True)
class TreeFiles:
    """The paths of a tree. `root_fd` is the opened work dir, where what has no hash yet is read when asked for."""

    root_fd: int
    _items: dict[str, _Item]
    _hashes: dict[str, str] = field(default_factory=dict)
    made: frozenset[str] = frozenset()
    """Files and links that steps before made."""

    @classmethod
    def of(cls, root_fd: int) -> TreeFiles:
        """Look at what lies in a tree."""
        items: dict[str, _Item] = {}
        with closing(Directories([root_fd])) as directories:
            for path, info in tree_snapshot.walk(root_fd):
                target = ""
                if stat.S_ISLNK(info.st_mode):
                    folder, _, name = path.rpartition("/")
                    target = os.readlink(name, dir_fd=directories.fd(0, folder))
                items[path] = (info.st_mode, target)
        return cls(root_fd, items)

    def after(self, outputs: Outputs) -> TreeFiles:
        """Return the files of a tree into which outputs were put."""
        items = dict(self._items)
        for path in outputs.removed:
            items.pop(path, None)
        items |= {path: (stat.S_IFDIR | mode, "") for path, mode in outputs.folders.items()}
        items |= {path: (stat.S_IFREG | mode, sha) for path, (sha, mode) in outputs.files.items()}
        items |= {path: (stat.S_IFLNK, target) for path, target in outputs.links.items()}
        made = self.made.difference(outputs.removed).union(outputs.files, outputs.links)
        return TreeFiles(self.root_fd, items, self._hashes, made)

    @property
    def paths(self) -> dict[str, _Item]:
        """Return all paths, those of folders, too."""
        return self._items

    def files(self) -> Iterable[str]:
        """Return the paths of files and links."""
        return (path for path, (mode, _) in self._items.items() if not stat.S_ISDIR(mode))

    def links(self) -> Iterable[str]:
        """Return the paths of links."""
        return (path for path, (mode, _) in self._items.items() if stat.S_ISLNK(mode))

    def is_folder(self, path: str) -> bool:
        """Tell whether a path is a folder; '' is the tree itself."""
        return not path or stat.S_ISDIR(self._items.get(path, (0, ""))[0])

    def content(self, path: str) -> str:
        """Return mode and content of a file or link as a text, '/' for a folder, '' for what is not there."""
        mode, content = self._items.get(path, (0, ""))
        if not mode or stat.S_ISDIR(mode):
            return "/" if mode else ""
        if not content:
            content = self._hashes[path] = self._hashes.get(path) or self._read(path)
        return f"{mode:o} {content}"

    def names(self, folder: str) -> str:
        """Return a hash of the names in a folder with their kinds and modes; of what is no folder, its content()."""
        if not self.is_folder(folder):
            return self.content(folder)
        digest = hashlib.sha256()
        for name in sorted(self._names.get(folder, ())):
            mode, content = self._items[join(folder, name)]
            target = content if stat.S_ISLNK(mode) else ""
            digest.update(os.fsencode(f"{mode:o} {name}\0{target}\0"))
        return digest.hexdigest()[:32]

    @cached_property
    def _names(self) -> dict[str, list[str]]:
        names: dict[str, list[str]] = {}
        for path in self._items:
            folder, _, name = path.rpartition("/")
            names.setdefault(folder, []).append(name)
        return names

    def _read(self, path: str) -> str:
        *folders, name = path.split("/")
        with safefs.opened(self.root_fd, *folders) as folder:
            fd, _ = safefs.open_regular(folder, name)
        with os.fdopen(fd, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
