"""The candidate as its container sees it: a versions directory of its own, in which the link leads to it already."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from govma_core import safefs, safetree
from govma_core.errors import RehearsalError, UnsafeTreeError

_FOLDER = "rehearsal"


@dataclass(frozen=True, slots=True)
class Stage:
    """What a container has to have mounted: path of this machine, path below its versions directory, may it write."""

    mounts: tuple[tuple[Path, str, bool], ...]


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
    RehearsalError when it holds something that cannot be copied.
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
            yield Stage(tuple(mounts))
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


def _copied(
    tree: int, copies: int, path: str, name: str, owner: tuple[int, int] | None, step: Callable[[], None]
) -> bool:
    """Copy a directory of the version, with everything in it; False when the version has none."""
    *folders, last = path.strip("/").split("/")
    try:
        with safefs.opened(tree, *folders) as folder:
            if not safefs.is_directory(folder, last):
                return False
            safetree.TreeCopier(owner, step).copy_directory(folder, copies, last, path, name)
    except FileNotFoundError:
        return False
    except UnsafeTreeError as error:
        raise RehearsalError(f"{path} of the version cannot be copied to be tried: {error}") from None
    return True
