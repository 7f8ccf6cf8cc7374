"""The candidate as its container sees it: a versions directory of its own, in which the link leads to it already."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from govma_core import safefs, safetree
from govma_core.errors import NotTriedError, UnsafeTreeError
from govma_core.language import tr
from govma_core.text import bytes_text

_FOLDER = "rehearsal"
_ATTEMPTS = 5
_MOST_BYTES = 4 << 30
_DEEPEST = 100


@dataclass(frozen=True, slots=True)
class Stage:
    """What a container has to have mounted: path of this machine, path below its versions directory, may it write.

    `tree` is the opened version: by its path somebody else could have put something in its place.
    """

    mounts: tuple[tuple[Path, str, bool], ...]
    version: str
    tree: int

    def shown_by(self, root: Path) -> bool:
        """Tell whether the root directory of a process shows the version itself in its versions directory."""
        found = (root / self.version).stat()
        own = os.fstat(self.tree)
        return (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino)


@contextmanager
def staged(
    state_dir: Path,
    versions_dir: Path,
    version: str,
    *,
    link: str,
    writable: Sequence[str],
    owner: tuple[int, int] | None,
    step: Callable[[], None],
) -> Iterator[Stage]:
    """Prepare a version to be tried: read-only, but for copies of the directories `writable`; gone after the block.

    `link` is the name by which the web server comes to a version. Nothing is written into the version itself.
    NotTriedError when it holds something that cannot be copied.
    """
    sweep(state_dir)
    root = state_dir / _FOLDER
    with safefs.opened_root(root) as fd, safefs.opened_root(versions_dir) as versions:
        try:
            os.close(safefs.make_directory(fd, "versions"))
            os.close(safefs.make_directory(fd, "copies", 0o755))
            with safefs.opened(fd, "versions") as stage:
                os.symlink(version, link, dir_fd=stage)
                os.close(safefs.make_directory(stage, version))
            mounts = [(root / "versions", "", False), (versions_dir / version, version, False)]
            with safefs.opened(versions, version) as tree, safefs.opened(fd, "copies") as copies:
                for number, path in enumerate(writable):
                    if _copied(tree, copies, path, str(number), owner, step):
                        mounts.append((root / "copies" / str(number), f"{version}/{path}", True))
                yield Stage(tuple(mounts), version, tree)
        finally:
            for name in ("versions", "copies"):
                safetree.remove(fd, name)


def sweep(state_dir: Path) -> None:
    """Have an empty directory for candidates: what a killed run left in it is removed. Only under the lock."""
    root = state_dir / _FOLDER
    # The copies may hold the site's secrets; a mount leads into it past these rights.
    root.mkdir(mode=0o700, exist_ok=True)
    with safefs.opened_root(root) as fd:
        for entry in safefs.entries(fd):
            safetree.remove(fd, entry.name)


class _Copier(safetree.TreeCopier):
    """Copies what the CMS can write, and so can fill with anything: within bounds, and without FIFOs and sockets."""

    _depth = 0

    def special(self, where: str) -> None:
        """Pass over it: the CMS makes it anew when it wants it."""

    def copy_directory(self, src_dir: int, dst_dir: int, name: str, shown: str, new_name: str | None = None) -> None:
        """Copy one directory; UnsafeTreeError when it is nested too deep."""
        if self._depth == _DEEPEST:
            raise UnsafeTreeError(tr("it is more than {deepest} levels deep", deepest=_DEEPEST))
        self._depth += 1
        try:
            super().copy_directory(src_dir, dst_dir, name, shown, new_name)
        finally:
            self._depth -= 1

    def copy_file(self, src_dir: int, dst_dir: int, name: str, new_name: str | None = None) -> None:
        """Copy one file; UnsafeTreeError when all of them are too large."""
        info = os.stat(name, dir_fd=src_dir, follow_symlinks=False)
        # Holes count: nothing keeps them holes.
        if self.result.bytes + info.st_size > _MOST_BYTES:
            raise UnsafeTreeError(tr("with {name!r} it has more than {most}", name=name, most=bytes_text(_MOST_BYTES)))
        self._step()
        super().copy_file(src_dir, dst_dir, name, new_name)


def _copied(
    tree: int, copies: int, path: str, name: str, owner: tuple[int, int] | None, step: Callable[[], None]
) -> bool:
    """Copy a directory of the version, with everything in it; False when the version has none."""
    *folders, last = path.strip("/").split("/")
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(safefs.opened(tree, *folders))
            there = safefs.is_directory(folder, last)
        except (FileNotFoundError, UnsafeTreeError):
            return False
        return there and _copy(folder, last, copies, name, path, lambda: _Copier(owner, step))


def _copy(folder: int, last: str, copies: int, name: str, path: str, copier: Callable[[], _Copier]) -> bool:
    """Copy while the CMS may be clearing its cache: what vanishes under our hands makes us begin anew."""
    for _ in range(_ATTEMPTS):
        try:
            copier().copy_directory(folder, copies, last, path, name)
            return True
        except FileNotFoundError:
            safetree.remove(copies, name)
        except (UnsafeTreeError, OSError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise NotTriedError(
                tr("{path} of the version cannot be copied to be tried: {error}", path=path, error=why)
            ) from None
    raise NotTriedError(
        tr("{path} of the version changes faster than it can be copied to be tried. Try again.", path=path)
    )
