"""What a step read: seen while it ran, recorded, and compared with what it would find now.

Two ways to name the inputs of a step. Seen ("auto"): the content of each file that was opened, and the names in each
folder around it; because a look-up of a name that is not there is not seen, also the names in all folders outside
`data/`. By globs: the content of the files that fit; then what was seen is the proof that these are enough, and the
same names count.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from govma_core.building.tree_files import TreeFiles
from govma_core.text.globs import globs

PACKAGE_FILES = ("package.json", "package-lock.json", "npm-shrinkwrap.json", ".npmrc")
"""What npm reads in whatever it does; they belong to the inputs of every step."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """Contents of files and names in folders, as TreeFiles tells them, by path; '' for what was not there.

    `globs` are None for "auto".
    """

    files: dict[str, str]
    folders: dict[str, str]
    globs: tuple[str, ...] | None = None

    def to_plain(self) -> dict[str, Any]:
        """Return them as JSON holds them."""
        return {"files": self.files, "folders": self.folders, "globs": self.globs}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Inputs:
        """Return what to_plain() took apart; KeyError, TypeError, ValueError or AttributeError for anything else."""
        patterns = plain["globs"]
        return cls(
            {str(path): str(content) for path, content in plain["files"].items()},
            {str(path): str(names) for path, names in plain["folders"].items()},
            None if patterns is None else tuple(map(str, patterns)),
        )

    def joined(self, other: Inputs) -> Inputs:
        """Return what is in these, or in others that are true of the same tree."""
        return Inputs(other.files | self.files, other.folders | self.folders, self.globs)

    def changed(self, tree: TreeFiles) -> list[str]:
        """Return the paths of what is not in a tree as it was; a folder's ends with a slash."""
        files = {*self.files, *_fitting(self.globs, tree)} if self.globs is not None else self.files
        paths = [path for path in files if tree.content(path) != self.files.get(path, "")]
        return sorted(paths) + sorted(f"{path}/" for path, names in self.folders.items() if tree.names(path) != names)


def seen(tree: TreeFiles, opened: Collection[str]) -> Inputs:
    """Return the inputs of a step by what it opened."""
    files = {*_opened_files(tree, opened), *PACKAGE_FILES}
    return Inputs(_contents(tree, files), _folders(tree, opened))


def named(tree: TreeFiles, patterns: Collection[str], opened: Collection[str] = ()) -> Inputs:
    """Return the inputs of a step by globs; of what steps before made, or was not there, it is what was opened."""
    files = {
        *_fitting(patterns, tree),
        *PACKAGE_FILES,
        *(path for path in opened if path in tree.made or path not in tree.paths),
    }
    return Inputs(_contents(tree, files), _folders(tree, opened), tuple(patterns))


def unnamed(inputs: Inputs, tree: TreeFiles, opened: Iterable[str]) -> list[str]:
    """Return the files that were opened and are not among the inputs."""
    return sorted(path for path in _opened_files(tree, opened) if path not in inputs.files)


def unmatched(patterns: Sequence[str], paths: Iterable[str]) -> list[str]:
    """Return the globs that none of the paths fits."""
    paths = list(paths)
    return [pattern for pattern in patterns if not any(map(_expression([pattern]).fullmatch, paths))]


def _expression(patterns: Sequence[str]) -> re.Pattern[str]:
    """Return what fits globs; a plain path stands for what is below it, too, as for git."""
    plain = [f"{pattern.rstrip('/')}/**" for pattern in patterns if not set(pattern) & set("*?")]
    return globs([*(pattern.rstrip("/") for pattern in patterns), *plain])


def _contents(tree: TreeFiles, paths: Collection[str]) -> dict[str, str]:
    return {path: tree.content(path) for path in sorted(paths)}


def _folders(tree: TreeFiles, opened: Collection[str]) -> dict[str, str]:
    """Return the names in the folders that count: see above, and those that were not there."""
    folders = {"", *(path for path in tree.paths if tree.is_folder(path) and path.partition("/")[0] != "data")}
    for path in opened:
        is_there = path in tree.paths
        folder = path if tree.is_folder(path) else path.rpartition("/")[0]
        while folder and folder not in folders:
            if is_there or folder not in tree.paths:
                folders.add(folder)
            folder = folder.rpartition("/")[0]
    # By which link a file was reached is not seen.
    folders |= {path.rpartition("/")[0] for path in tree.links()}
    return {path: tree.names(path) for path in sorted(folders)}


def _opened_files(tree: TreeFiles, opened: Iterable[str]) -> Iterable[str]:
    return (path for path in opened if not tree.is_folder(path))


def _fitting(patterns: Collection[str] | None, tree: TreeFiles) -> Iterable[str]:
    expression = _expression(list(patterns or ()))
    return (path for path in tree.files() if path not in tree.made and expression.fullmatch(path))
