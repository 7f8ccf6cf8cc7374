"""Publishing: a finished tree becomes a version by one rename, after a copy where it is on another file system."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from govma_core.errors import PublishError
from govma_core.fs import safefs, trees
from govma_core.fs.trees import clear_opened, make_marked
from govma_core.versions.store import INCOMING_PREFIX


def publish(
    tree_dir: int,
    tree: str,
    versions_dir: int,
    name: str,
    owner: tuple[int, int] | None,
    step: Callable[[], None],
    prepare: Callable[[int], None] = lambda fd: None,
) -> bool:
    """Move the directory `tree` (below tree_dir) to `name` in the versions directory; True when it had to be copied.

    Either the whole version has its name afterwards, and is on the disk, or nothing has. PublishError when the name
    is taken. A copy's entries get `owner`; `step` is called now and then while copying, and may raise. `prepare` gets
    the finished tree, opened, once it is on the file system of the versions, and may still change it.
    """
    if os.fstat(tree_dir).st_dev == os.fstat(versions_dir).st_dev:
        try:
            with safefs.opened(tree_dir, tree) as fd:
                prepare(fd)
            # Before the rename: a version under its name is whole after a power cut, too.
            safefs.syncfs(tree_dir)
            _move(tree_dir, tree, versions_dir, name)
            return False
        except OSError as error:
            # Two mounts of one file system have the same device number.
            if error.errno != errno.EXDEV:
                raise
    incoming = safefs.random_name(INCOMING_PREFIX)
    # Inside a marked directory of ours: no other user enters an incomplete copy, and the next run recognises it.
    place = make_marked(versions_dir, incoming)
    try:
        trees.TreeCopier(owner, step).copy_directory(tree_dir, place, tree, tree)
        with safefs.opened(place, tree) as fd:
            prepare(fd)
        safefs.syncfs(versions_dir)
        _move(place, tree, versions_dir, name)
    finally:
        clear_opened(versions_dir, incoming, place)
        os.close(place)
    trees.remove(tree_dir, tree)
    return True


def require_free(versions_dir: int, name: str) -> None:
    """Raise PublishError when there is anything of this name."""
    if safefs.lstat(versions_dir, name) is not None:
        raise _taken(name)


def _taken(name: str) -> PublishError:
    return PublishError(
        "There is already something called {name} in the versions directory. Start the deploy "
        "again: the name is the second in which it starts.",
        name=name,
    )


def _move(src_dir: int, src: str, versions_dir: int, name: str) -> None:
    try:
        safefs.rename_noreplace(src, name, src_dir_fd=src_dir, dst_dir_fd=versions_dir)
    except FileExistsError:
        raise _taken(name) from None
    os.fsync(versions_dir)
