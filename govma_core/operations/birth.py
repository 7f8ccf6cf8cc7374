"""A new version takes little more than what is new in it: equal files of earlier versions are linked to."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from govma_core import safefs
from govma_core.disk.birth import Born, link_tree
from govma_core.disk.contents import ContentsStore
from govma_core.disk.earlier import EarlierFiles
from govma_core.disk.extents import can_share_extents
from govma_core.disk.thaw import shared_files
from govma_core.globs import globs
from govma_core.language import marked, tr
from govma_core.operations.context import Context
from govma_core.operations.staging import staging
from govma_core.text import bytes_text

_MOST = 10
"""Earlier versions, the live one aside, in which an equal file is looked for."""


@contextmanager
def earlier_files(context: Context, work_fd: int, places: Mapping[str, str]) -> Iterator[dict[str, EarlierFiles]]:
    """Yield the live version's files as far as they can be linked to from the work dir, by the keys of `places`.

    `places` are directories of a version. Empty when nothing is to be linked, or another file system is between.
    """
    live = context.versions.pointer().version
    if context.settings.dedupe == "off" or live is None or shares_extents(context):
        yield {}
        return
    single = globs(context.settings.keep_single)
    with safefs.opened_root(context.settings.versions_dir) as versions, safefs.opened(versions, live) as version:
        near = os.fstat(version).st_dev == os.fstat(work_fd).st_dev
        apart = frozenset(shared_files(version, context.settings.keep_single).values())
        yield {top: EarlierFiles(version, place, single, apart) for top, place in places.items()} if near else {}


def link_to_earlier(context: Context, name: str, tree_fd: int) -> Born:
    """Link the finished tree of the version `name` to the live version and those before, unless dedupe is off.

    What is in it is written to the contents record.
    """
    began = time.monotonic()
    with ExitStack() as stack:
        others: list[int] = []
        apart: set[int] = set()
        if context.settings.dedupe != "off":
            versions = stack.enter_context(safefs.opened_root(context.settings.versions_dir))
            others = [stack.enter_context(safefs.opened(versions, other)) for other in _others(context)]
            if others:
                apart.update(shared_files(others[0], context.settings.keep_single).values())
        single = globs(context.settings.keep_single)
        check = context.reporter.cancellation.check
        extents = bool(others) and shares_extents(context)
        born = link_tree(tree_fd, others, single, check, apart=frozenset(apart), extents=extents)
    ContentsStore(context.settings.state_dir).write(name, born.parts)
    if others:
        said = _SHARED if extents else _LINKED
        context.reporter.info(
            tr(said, linked=born.linked, count=born.files, saved=bytes_text(born.saved), took=time.monotonic() - began)
        )
    return born


_LINKED = marked("{linked} of {count} files linked to identical ones of earlier versions: {saved} saved, {took:.2f} s")
_SHARED = marked(
    "{linked} of {count} files share blocks with identical ones of earlier versions: {saved} saved, {took:.2f} s"
)


def shares_extents(context: Context) -> bool:
    """Tell whether blocks are to be shared instead of inodes: the settings want it, and the file system can."""
    if context.settings.reflink == "never":
        return False
    with safefs.opened_root(context.settings.versions_dir) as versions, staging(versions) as place:
        return can_share_extents(place())


def _others(context: Context) -> list[str]:
    """Return the versions to link to: the live one first, then the latest."""
    live = context.versions.pointer().version
    names = [version.name for version in context.versions.versions() if version.name != live]
    return ([live] if live else []) + names[:_MOST]
