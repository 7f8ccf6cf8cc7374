"""Verify: the versions as they are against what was published. Changes nothing, takes no lock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from govma_core import safefs
from govma_core.disk.contents import ContentsStore
from govma_core.disk.thaw import shared_files
from govma_core.disk.verify import Change, Verifier
from govma_core.globs import globs
from govma_core.operations.context import Context


@dataclass(frozen=True, slots=True)
class Verified:
    """What is different in a version.

    `changes` are files that nobody should have changed, `written` those that the CMS is known to write (the setting
    keep_single); both are None when there is no record of the version. `shared` are files of the live version that are
    written in place and share their inode with another version.
    """

    name: str
    changes: list[Change] | None
    written: list[Change] | None
    shared: list[str]

    @property
    def sound(self) -> bool:
        """True when nothing is different that should not be."""
        return not self.changes and not self.shared


def verify(context: Context, *, version: str | None = None) -> Iterator[Verified]:
    """Verify the named version, or all of them, the newest first."""
    settings = context.settings
    contents = ContentsStore(settings.state_dir)
    found = [context.versions.find(version)] if version is not None else context.versions.versions()
    live = context.versions.pointer().version
    written = globs(settings.keep_single).fullmatch
    # Inodes that versions share are read once.
    verifier = Verifier(context.reporter.cancellation.check)
    with safefs.opened_root(settings.versions_dir) as versions:
        for name in (each.name for each in found):
            with safefs.opened(versions, name) as fd:
                shared = list(shared_files(fd, settings.keep_single)) if name == live else []
                files = contents.read(name)
                if files is None:
                    yield Verified(name, None, None, shared)
                    continue
                changes = verifier.changes(fd, files)
            yield Verified(
                name,
                [change for change in changes if not written(change.path)],
                [change for change in changes if written(change.path)],
                shared,
            )
