"""The vendor tarballs: parts of the site that are not in its repository, and come into every version.

They are unpacked (see unpack.py) by a process of its own into a private directory beside the work dir, while the
checkout is copied, whole or not at all. Once the assets are built, `merge` moves them to where they belong.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from govma_core.building.work_dir import beside, staging_name
from govma_core.deploy.unpack import Owner, Unpacked, unpack
from govma_core.disk.link_new_version import EarlierFiles
from govma_core.errors import GovmaError, UnsafeTreeError, VendorError
from govma_core.fs import safefs
from govma_core.fs.trees import clear_opened, make_marked
from govma_core.process.workers import Forked, write_all
from govma_core.text.language import tr
from govma_core.versions.contents import ContentsStore, FileRecord

FOLDERS = {"ee": "system", "themes": "html"}
"""The top folder of each vendor tarball, and the directory of a version in which it lies."""


@contextmanager
def unpacking(
    work_dir: Path,
    work_fd: int,
    tarballs: Mapping[str, Path],
    owner: Owner,
    records: ContentsStore,
    earlier: Mapping[str, EarlierFiles] | None = None,
) -> Iterator[Unpacking]:
    """Unpack for the time of the block; the private directory is gone after it.

    `records` are those of the tarballs. `earlier` gives, by top folder, the files that can be linked to instead of
    being written.
    """
    with beside(work_dir, work_fd) as (parent, _):
        name = staging_name("vendor", work_dir)
        staged = make_marked(parent, name)
        try:
            process = Unpacking(staged, tarballs, owner, records, earlier or {})
            try:
                yield process
            finally:
                process.end()
        finally:
            clear_opened(parent, name, staged)
            os.close(staged)


class Unpacking:
    """A process that unpacks tarballs into the directory staged_fd; `tarballs` are their paths by top folder."""

    def __init__(
        self,
        staged_fd: int,
        tarballs: Mapping[str, Path],
        owner: Owner,
        records: ContentsStore,
        earlier: Mapping[str, EarlierFiles],
    ) -> None:
        self._staged_fd = staged_fd

        def work(answer: int) -> None:
            outcome: dict[str, Unpacked] | Exception
            try:
                outcome = {
                    top: unpack(path, staged_fd, top, owner, records, earlier.get(top))
                    for top, path in tarballs.items()
                }
                with suppress(OSError):
                    records.discard_others([each.sha256 for each in outcome.values()])
            except GovmaError as error:
                outcome = VendorError(str(error))
            except OSError as error:
                outcome = error
            write_all(answer, pickle.dumps(outcome))

        self._child = Forked(work)

    def result(self) -> dict[str, Unpacked]:
        """Wait until all is unpacked, and return what each tarball held; VendorError when one is refused."""
        answer = self._child.read_all()
        if not answer:
            raise VendorError("The vendor tarballs were not unpacked: the process was killed.")
        outcome: dict[str, Unpacked] | Exception = pickle.loads(answer)  # noqa: S301  # of our own process
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def join(self, data_fd: int) -> dict[str, Unpacked]:
        """Wait for the result, move it to where it belongs in a version, and return it."""
        unpacked = self.result()
        for top, folder in FOLDERS.items():
            with safefs.opened(data_fd, folder) as target:
                merge(self._staged_fd, target, top)
        return unpacked

    def end(self) -> None:
        """End the process if it still works."""
        self._child.end()


def files_in_version(unpacked: Mapping[str, Unpacked]) -> dict[str, FileRecord]:
    """Return the files of the tarballs by their paths in a version."""
    return {
        f"{FOLDERS[top]}/{path}": record for top, result in unpacked.items() for path, record in result.files.items()
    }


def merge(src_fd: int, dst_dir_fd: int, name: str, path: str = "") -> None:
    """Move the tree `name` from src_fd to dst_dir_fd, on one file system, joining directories that are on both sides.

    A file takes the place of a file or link of its name. UnsafeTreeError, with the name as `path` or below it, where
    a directory meets anything else.
    """
    try:
        safefs.rename_noreplace(name, name, src_dir_fd=src_fd, dst_dir_fd=dst_dir_fd)
        return
    except FileExistsError:
        pass
    path = path or name
    is_folder, was_folder = safefs.is_directory(src_fd, name), safefs.is_directory(dst_dir_fd, name)
    if is_folder != was_folder:
        was, now = ("a directory", "a file") if was_folder else (tr("a link or a file"), "a directory")
        raise UnsafeTreeError(
            "{shown!r} is {was} in the site and {now} in a vendor tarball. Remove it from the site.",
            shown=path,
            was=was,
            now=now,
        )
    if not is_folder:
        os.rename(name, name, src_dir_fd=src_fd, dst_dir_fd=dst_dir_fd)
        return
    with safefs.opened(src_fd, name) as src, safefs.opened(dst_dir_fd, name) as dst:
        for entry in safefs.entries(src):
            merge(src, dst, entry.name, f"{path}/{entry.name}")
    os.rmdir(name, dir_fd=src_fd)
