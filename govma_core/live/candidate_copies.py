"""The copies of what the CMS writes, for a version that is tried: within bounds, whatever it has put there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace

from govma_core import safefs, safetree
from govma_core.errors import NotTriedError, UnsafeTreeError
from govma_core.language import tr
from govma_core.text import bytes_text

_ATTEMPTS = 5
_DEEPEST = 100


@dataclass(slots=True)
class Budget:
    """How much may still be copied of all directories of a version together. Holes count: nothing keeps them holes."""

    bytes: int = 4 << 30
    entries: int = 500_000


class BoundedCopier(safetree.TreeCopier):
    """Copies what the CMS can write, and so can fill with anything: within bounds, and without FIFOs and sockets."""

    _depth = 0

    def __init__(self, owner: tuple[int, int] | None, step: Callable[[], None], budget: Budget) -> None:
        super().__init__(owner, step)
        self.left = replace(budget)

    def special(self, where: str) -> None:
        """Pass over it: the CMS makes it anew when it wants it."""

    def copy_directory(self, src_dir: int, dst_dir: int, name: str, shown: str, new_name: str | None = None) -> None:
        """Copy one directory; UnsafeTreeError when it is nested too deep."""
        if self._depth == _DEEPEST:
            raise UnsafeTreeError(tr("it is more than {deepest} levels deep", deepest=_DEEPEST))
        self._take(name)
        self._depth += 1
        try:
            super().copy_directory(src_dir, dst_dir, name, shown, new_name)
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
        self.left.entries -= 1
        self.left.bytes -= size
        if self.left.entries < 0 or self.left.bytes < 0:
            most = Budget()
            raise UnsafeTreeError(
                tr(
                    "with {name!r} there is more than {most} or {entries} files to copy",
                    name=name,
                    most=bytes_text(most.bytes),
                    entries=most.entries,
                )
            )


def copied(tree: int, copies: int, path: str, name: str, copier: Callable[[], BoundedCopier]) -> Budget | None:
    """Copy a directory of the version, with everything in it; give what is left then, None when there is none."""
    *folders, last = path.strip("/").split("/")
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(safefs.opened(tree, *folders))
            there = safefs.is_directory(folder, last)
        except (FileNotFoundError, UnsafeTreeError):
            return None
        return _copy(folder, last, copies, name, path, copier) if there else None


def _copy(folder: int, last: str, copies: int, name: str, path: str, copier: Callable[[], BoundedCopier]) -> Budget:
    """Copy while the CMS may be clearing its cache: what vanishes under our hands makes us begin anew."""
    for _ in range(_ATTEMPTS):
        copying = copier()
        try:
            copying.copy_directory(folder, copies, last, path, name)
            return copying.left
        except FileNotFoundError:
            safetree.remove(copies, name)
        except (UnsafeTreeError, OSError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise NotTriedError(
                tr("{path} of the version cannot be copied for testing: {error}", path=path, error=why)
            ) from None
    raise NotTriedError(
        tr("{path} of the version changes faster than it can be copied for testing. Try again.", path=path)
    )
