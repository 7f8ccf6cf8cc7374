"""The trees that the steps of a build work in: a copy of the work dir for each, beside it, that is thrown away."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from govma_core.building import work_dir
from govma_core.building.repository_copy import RepositoryCopier
from govma_core.errors import BuildError, UnsafeTreeError
from govma_core.fs import safefs, trees
from govma_core.reporting import Reporter
from govma_core.text.language import tr
from govma_core.versions.remove import warn_of_leftover


@contextmanager
def trees_for(work: Path, work_fd: int, reporter: Reporter, *, is_passed: bool) -> Iterator[tuple[int, Path]]:
    """Yield a new directory for the trees, opened, and its path; it is removed at the end.

    `is_passed` when the build's user comes to them by their path, through that directory. After a BuildError it stays,
    closed, until the next build: this one may have moved into it what is somebody's. What resists is a warning.
    """
    with work_dir.beside(work, work_fd) as (parent, path), ExitStack() as stack:
        if path == work and is_passed:
            # Where the work dir is mounted they lie in it, and it is closed to others.
            os.fchmod(work_fd, 0o711)
            stack.callback(work_dir.take_back, work_fd)
        name = work_dir.staging_name("steps", work)
        fd = trees.make_marked(parent, name)
        stack.callback(os.close, fd)
        if is_passed:
            os.fchmod(fd, trees.PASSABLE_MARK)
        is_kept = False
        try:
            yield fd, path / name
        except BuildError:
            is_kept = True
            raise
        finally:
            trees.mark(fd)
            if not is_kept:
                resisting = trees.clear_opened(parent, name, fd)
                warn_of_leftover(reporter, path / name, tr("what the build's steps worked in"), resisting)


def left(work: Path) -> list[Path]:
    """Return the trees that a killed run, or a build that failed, left beside the work dir, or in it."""
    found: list[Path] = []
    for place in (work.parent, work):
        with suppress(FileNotFoundError), safefs.opened_root(place) as parent:
            for entry in safefs.entries(parent):
                if work_dir.staging_kind(entry.name, work) == "steps":
                    with suppress(OSError, UnsafeTreeError), safefs.opened(parent, entry.name) as fd:
                        names = safefs.entries(fd) if trees.is_marked(fd) else []
                        found += [place / entry.name / tree.name for tree in names]
    return found


def copy_tree(work_fd: int, trees_fd: int, name: str, owner: tuple[int, int] | None, step: Callable[[], None]) -> None:
    """Make the tree of a step: what lies in the work dir; closed to others until it is lent.

    What there is `owner`'s, the build's user's, is so in the copy; the rest is of whoever runs: a hook may have put
    something there that the build must not read. `step` is called once a directory, and may raise.
    """
    os.close(safefs.make_directory(trees_fd, name, 0o700))
    # The work dir is opened anew: other threads copy it at the same time (see safefs.entries).
    with safefs.opened(work_fd, ".") as work, safefs.opened(trees_fd, name) as tree:
        # Nothing that a commit or a hook calls node_modules stands in the way of the kept one.
        skip = {"node_modules", *(entry.name for entry in safefs.entries(work) if work_dir.is_staging(entry.name))}
        _SameOwner(owner, step).copy_into(work, tree, skip=frozenset(skip))


class _SameOwner(RepositoryCopier):
    """Gives to the owner only what was the owner's."""

    def owner_of(self, info: os.stat_result) -> tuple[int, int] | None:
        return self._owner if self._owner and info.st_uid == self._owner[0] else None
