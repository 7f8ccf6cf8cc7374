"""Dedupe: equal files of different versions take their space once."""

from __future__ import annotations

import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

from govma_core import safefs
from govma_core.disk import dedupe
from govma_core.disk.directories import raise_descriptor_limit
from govma_core.disk.extents import can_share_extents
from govma_core.disk.tally import Tally
from govma_core.disk.thaw import shared_files
from govma_core.disk.usage_summary import last_measured
from govma_core.errors import RefusedError
from govma_core.globs import globs
from govma_core.operations import accounting, leftovers
from govma_core.operations.context import Context, Outcome
from govma_core.operations.staging import staging
from govma_core.text import bytes_text


@dataclass(frozen=True, slots=True)
class Deduped:
    """What a dedupe came to, or would come to; `released` is by how much the file system's free space grew."""

    tally: Tally
    seconds: float
    released: int

    def sentence(self) -> str:
        """Say it in one line."""
        return f"{self.tally.linked} files linked, {bytes_text(self.tally.freed)} freed in {self.seconds:.1f} s"

    def details(self) -> dict[str, Any]:
        """Give it as JSON holds it."""
        return self.tally.plain() | {"seconds": round(self.seconds, 3), "released": self.released}


def run(context: Context, *, anywhere: bool = False, reflink: str | None = None) -> Outcome:
    """Link equal files of the same path in all versions; with `anywhere` those of different paths, too.

    `reflink` stands in for the setting: auto, always or never. RefusedError when extents must be shared and cannot be.
    """
    reporter = context.reporter
    with reporter.stage("preflight"):
        leftovers.clear(context)
    with reporter.stage("dedupe") as remark:
        done = _dedupe(context, anywhere=anywhere, apply=True, reflink=reflink or context.settings.reflink)
        remark.note(done.sentence())
    for reason, left in done.tally.left.items():
        more = f", … ({left.count} in all)" if left.count > len(left.names) else ""
        reporter.warning(f"Left alone, {reason}: {', '.join(left.names)}{more}")
    released = f"; the file system has {bytes_text(done.released)} more free" if done.released > 0 else ""
    reporter.info(f"{done.tally.seen} files seen. {done.sentence()}{released}.")
    accounting.refresh(context)
    return Outcome(f"{done.sentence()}.", details=done.details())


def dry_run(context: Context, *, anywhere: bool = False) -> Deduped:
    """Give what a dedupe by links would come to; takes no lock and changes nothing."""
    return _dedupe(context, anywhere=anywhere, apply=False, reflink="never")


def _dedupe(context: Context, *, anywhere: bool, apply: bool, reflink: str) -> Deduped:
    settings, reporter = context.settings, context.reporter
    began = time.monotonic()
    names = [version.name for version in reversed(context.versions.versions())]
    pointer = context.versions.pointer()
    if pointer.version is None and pointer.target is not None:
        # Which inodes must not be replaced cannot be told.
        raise RefusedError(f"{pointer.problem} Until then nothing is deduped.")
    known = last_measured(settings.state_dir / "usage", settings.versions_dir)
    total = sum(version.files for version in known.values()) if known.keys() >= set(names) else 0
    raise_descriptor_limit()
    with ExitStack() as stack:
        versions = stack.enter_context(safefs.opened_root(settings.versions_dir))
        if pointer.version is not None and pointer.version not in names:
            # Live under an odd name: its inodes are to be known, too.
            names.append(pointer.version)
        names, roots, unread = _opened(stack, versions, names)
        current = names.index(pointer.version) if pointer.version in names else None
        apart = _shared_in_place(context, roots[current]) if current is not None else frozenset()
        # What is linked to is on the disk first; and the free space counts what was still to be written.
        before = safefs.free_bytes(versions) if apply else 0
        with ExitStack() as inner:
            place = inner.enter_context(staging(versions))() if apply else None
            extents = place is not None and _extents(context, place, reflink)
            trees = dedupe.Trees(names, roots, current, globs(settings.keep_single), place, apart, extents)
            tally = dedupe.dedupe(
                trees,
                lambda so_far: reporter.progress(
                    "dedupe", so_far.seen, total, f"files, {bytes_text(so_far.freed)} freed"
                ),
                reporter.cancellation.check,
                anywhere=anywhere,
            )
        for name in unread:
            tally.leave("unreadable", name)
        released = safefs.free_bytes(versions) - before if apply else 0
    return Deduped(tally, time.monotonic() - began, released)


def _opened(stack: ExitStack, versions: int, names: list[str]) -> tuple[list[str], list[int], list[str]]:
    """Open the versions; give the names of those that could be, their descriptors, and the names of the others."""
    roots: dict[str, int] = {}
    for name in names:
        with suppress(PermissionError, FileNotFoundError):
            roots[name] = stack.enter_context(safefs.opened(versions, name))
    return list(roots), list(roots.values()), [name for name in names if name not in roots]


def _extents(context: Context, staging_fd: int, reflink: str) -> bool:
    if reflink == "never":
        return False
    can = can_share_extents(staging_fd)
    if can:
        context.reporter.info("The file system shares extents: files keep their inodes, and share their blocks.")
    elif reflink == "always":
        raise RefusedError(
            f"The file system of {context.settings.versions_dir} does not share extents (XFS and btrfs can); "
            "leave --reflink out to have hard links made."
        )
    return can


def _shared_in_place(context: Context, version_fd: int) -> frozenset[int]:
    """Warn of what the live version should not share; give the inodes."""
    shared = shared_files(version_fd, context.settings.keep_single)
    if shared:
        context.reporter.warning(
            f"{len(shared)} files of the live version that are written in place share their inode with another "
            f"version ({', '.join(list(shared)[:5])}{', …' if len(shared) > 5 else ''}). "
            "`govma-console promote` with the name of the live version gives them inodes of their own."
        )
    return frozenset(shared.values())
