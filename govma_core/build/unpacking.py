"""The vendor tarballs are unpacked by a process of its own while the checkout is copied and the assets are built.

It works in a private directory beside the work dir; the vendor stage then only moves what lies there. The process ends
with its parent, also when that is killed.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from govma_core import safefs
from govma_core.build import vendor
from govma_core.clearing import clear_marked, clear_opened, make_marked
from govma_core.errors import GovmaError, VendorError
from govma_core.forked import Forked, write_all
from govma_core.language import tr

_PREFIX = "govma-vendor"
_STAGING = re.compile(rf"\.{_PREFIX}-[0-9a-f]{{16}}")


class Unpacking:
    """Tarballs on their way; `tarballs` are their paths by top folder."""

    def __init__(
        self,
        staged_fd: int,
        tarballs: Mapping[str, Path],
        owner: tuple[int, int] | None,
        earlier: Mapping[str, vendor.Earlier],
    ) -> None:
        self.staged_fd = staged_fd
        self._child = Forked(
            lambda answer: write_all(answer, json.dumps(_unpack_all(staged_fd, tarballs, owner, earlier)).encode())
        )

    def result(self) -> dict[str, vendor.Unpacked]:
        """Wait until all is unpacked, and give what each tarball held; VendorError when one is not as it must be."""
        answer: dict[str, Any] = json.loads(self._child.read_all() or b"{}")
        if "system" in answer:
            raise OSError(*answer["system"])
        if "unpacked" not in answer:
            raise VendorError(
                answer.get("refused") or tr("The vendor tarballs were not unpacked: the process was killed.")
            )
        return {top: vendor.Unpacked(**found) for top, found in answer["unpacked"].items()}

    def end(self) -> None:
        """End the process if it still works."""
        self._child.end()


@contextmanager
def unpacking(
    work_dir: Path,
    work_fd: int,
    tarballs: Mapping[str, Path],
    owner: tuple[int, int] | None,
    earlier: Mapping[str, vendor.Earlier] | None = None,
) -> Iterator[Unpacking]:
    """Unpack for the time of the block; the private directory is gone after it.

    `earlier` gives, by top folder, the files that can be linked to instead of being written.
    """
    with safefs.opened_root(work_dir.parent) as beside:
        # Moving needs one file system; a work dir that is mounted has another one inside than beside it.
        place = beside if os.fstat(beside).st_dev == os.fstat(work_fd).st_dev else work_fd
        name = safefs.random_name(_PREFIX)
        staged = make_marked(place, name)
        try:
            started = Unpacking(staged, tarballs, owner, earlier or {})
            try:
                yield started
            finally:
                started.end()
        finally:
            clear_opened(place, name, staged)
            os.close(staged)


def sweep_staging(work_dir: Path) -> dict[Path, list[str] | None]:
    """Remove what a killed run was unpacking beside the work dir. Only under the lock.

    Return, by path, what resisted in each; None for one that only has such a name, and was left alone.
    """
    with safefs.opened_root(work_dir.parent) as beside:
        names = [entry.name for entry in safefs.entries(beside) if _STAGING.fullmatch(entry.name)]
        return {work_dir.parent / name: clear_marked(beside, name) for name in names}


def _unpack_all(
    staged_fd: int,
    tarballs: Mapping[str, Path],
    owner: tuple[int, int] | None,
    earlier: Mapping[str, vendor.Earlier],
) -> dict[str, Any]:
    try:
        unpacked = {
            top: vendor.unpack(path, staged_fd, top, owner, lambda: None, earlier.get(top))
            for top, path in tarballs.items()
        }
    except GovmaError as error:
        return {"refused": str(error)}
    except OSError as error:
        name = os.fsdecode(error.filename) if error.filename is not None else None
        return {"system": [error.errno, error.strerror, name]}
    return {"unpacked": {top: asdict(found) for top, found in unpacked.items()}}
