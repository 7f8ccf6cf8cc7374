"""The candidate as its container sees it: a versions directory of its own, in which the link leads to it already."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from govma_core.context import Context
from govma_core.errors import NotTriedError, UnsafeTreeError
from govma_core.fs import safefs, trees
from govma_core.reporting import Reporter
from govma_core.text.clean import bytes_text
from govma_core.versions.store import POINTER

_ATTEMPTS = 5
_DEEPEST = 100
_FOLDER = "rehearsal"


@dataclass(slots=True)
class Budget:
    """How much may still be copied of all directories of a version together. Holes count: nothing keeps them holes."""

    bytes: int = 4 << 30
    entries: int = 500_000


class BoundedCopier(trees.TreeCopier):
    """Copies what the CMS can write, and so can fill with anything: within bounds, and without FIFOs and sockets."""

    def __init__(self, owner: tuple[int, int] | None, step: Callable[[], None]) -> None:
        super().__init__(owner, step)
        self.budget = Budget()
        self._depth = 0

    def special(self, where: str) -> None:
        """Pass over it: the CMS makes it anew when it wants it."""

    def copy_directory(self, src_dir: int, dst_dir: int, name: str, where: str, new_name: str | None = None) -> None:
        """Copy one directory; UnsafeTreeError when it is nested too deep."""
        if self._depth == _DEEPEST:
            raise UnsafeTreeError("it is more than {deepest} levels deep", deepest=_DEEPEST)
        self._take(name)
        self._depth += 1
        try:
            super().copy_directory(src_dir, dst_dir, name, where, new_name)
        finally:
            self._depth -= 1

    def copy_link(self, src_dir: int, dst_dir: int, name: str) -> None:
        """Copy a link as a link."""
        self._take(name)
        super().copy_link(src_dir, dst_dir, name)

    def admit(self, name: str, size: int) -> None:
        """Take one more file; UnsafeTreeError when all of them are too large."""
        self._take(name, size)

    def _take(self, name: str, size: int = 0) -> None:
        self.budget.entries -= 1
        self.budget.bytes -= size
        if self.budget.entries < 0 or self.budget.bytes < 0:
            most = Budget()
            raise UnsafeTreeError(
                "with {name!r} there is more than {most} or {entries} files to copy",
                name=name,
                most=bytes_text(most.bytes),
                entries=most.entries,
            )


def copy_writable(tree: int, path: str, copies: int, name: str, copier: BoundedCopier) -> bool:
    """Copy a directory of the version with all that is in it, as `name`; False when there is none.

    The CMS may be clearing its cache meanwhile: what vanishes under our hands makes the copy begin anew.
    """
    *folders, last = path.strip("/").split("/")
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(safefs.opened(tree, *folders))
            is_there = safefs.is_directory(folder, last)
        except (FileNotFoundError, UnsafeTreeError):
            return False
        if not is_there:
            return False
        for _ in range(_ATTEMPTS):
            budget = replace(copier.budget)
            try:
                copier.copy_directory(folder, copies, last, path, name)
                return True
            except FileNotFoundError:
                trees.remove(copies, name)
                copier.budget = budget
            except (UnsafeTreeError, OSError) as error:
                why = error.strerror if isinstance(error, OSError) else error
                raise NotTriedError(
                    "{path} of the version cannot be copied for testing: {error}", path=path, error=why
                ) from None
    raise NotTriedError("{path} of the version changes faster than it can be copied for testing. Try again.", path=path)


@dataclass(frozen=True, slots=True)
class Stage:
    """What a container has to have mounted: path of this machine, path below its versions directory, may it write.

    `tree` is the opened version and `versions` the opened directory it is in: by its path another user can put
    something in its place.
    """

    mounts: tuple[tuple[Path, str, bool], ...]
    version: str
    versions: int
    tree: int

    def in_place(self) -> bool:
        """Tell whether the version still has its name."""
        present = safefs.lstat(self.versions, self.version)
        return present is not None and os.path.samestat(present, os.fstat(self.tree))

    def shown_by(self, process: int, mount: str) -> bool:
        """Tell whether a process sees the version itself in its versions directory `mount`; OSError when it is gone."""
        with (
            safefs.opened_root(Path(f"/proc/{process}/root")) as root,
            safefs.opened_inside(root, f"{mount}/{self.version}") as shown_version,
        ):
            return os.path.samestat(os.fstat(shown_version), os.fstat(self.tree))


@contextmanager
def stage_version(context: Context, version: str) -> Iterator[Stage]:
    """Prepare a version to be tried: read-only, but for copies of what the CMS writes to; gone after the block.

    Nothing is written into the version itself. NotTriedError when it holds something that cannot be copied, or what an
    earlier run left is in the way.
    """
    settings, reporter = context.settings, context.reporter
    root = settings.state_dir / _FOLDER
    # The copies may hold the site's secrets; a mount leads into it past these rights.
    root.mkdir(mode=0o700, exist_ok=True)
    with safefs.opened_root(root) as fd, safefs.opened_root(settings.versions_dir) as versions:
        if safefs.entries(fd):
            raise NotTriedError("What an earlier rehearsal left in {root} could not be removed.", root=root)
        try:
            os.close(safefs.make_directory(fd, "versions"))
            os.close(safefs.make_directory(fd, "copies", 0o755))
            with safefs.opened(fd, "versions") as stage:
                os.symlink(version, POINTER, dir_fd=stage)
                os.close(safefs.make_directory(stage, version))
            mounts = [(root / "versions", "", False), (settings.versions_dir / version, version, False)]
            copier = BoundedCopier(context.web_owner, reporter.cancellation.check)
            with safefs.opened(versions, version) as tree, safefs.opened(fd, "copies") as copies:
                for number, path in enumerate(settings.rehearsal_writable):
                    if copy_writable(tree, path, copies, str(number), copier):
                        mounts.append((root / "copies" / str(number), f"{version}/{path}", True))
                yield Stage(tuple(mounts), version, versions, tree)
        finally:
            _clear(fd, root, reporter)


def used(state_dir: Path) -> bool:
    """Tell whether versions of this site were ever tried in a container."""
    return (state_dir / _FOLDER).is_dir()


def sweep(state_dir: Path) -> None:
    """Remove what a killed run left; OSError or UnsafeTreeError when that cannot be. Only under the lock."""
    with safefs.opened_root(state_dir / _FOLDER) as fd:
        for entry in safefs.entries(fd):
            trees.remove(fd, entry.name)


def forget(state_dir: Path) -> None:
    """Remove the swept directory: no version will be tried in a container any more."""
    (state_dir / _FOLDER).rmdir()


def _clear(fd: int, root: Path, reporter: Reporter) -> None:
    """Remove the candidate; what the rehearsal came to must not be hidden by what resists."""
    for name in ("versions", "copies"):
        try:
            trees.remove(fd, name)
        except (OSError, UnsafeTreeError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            reporter.warning(
                "{path} could not be removed: {error}. The next run tries again.", path=root / name, error=why
            )
