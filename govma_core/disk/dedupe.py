"""The dedupe operation: what it works on, what it says, and the account after it; dedupe_pass.py does the work."""

from __future__ import annotations

import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

from govma_core.context import Context, Outcome
from govma_core.disk import dedupe_pass, usage
from govma_core.disk.compare import Tally
from govma_core.disk.reflinks import can_share_extents
from govma_core.disk.unshare import shared_files
from govma_core.disk.usage import last_measured
from govma_core.errors import RefusedError
from govma_core.fs import safefs
from govma_core.fs.walk import raise_descriptor_limit
from govma_core.text.clean import bytes_text
from govma_core.text.globs import globs
from govma_core.text.language import tr
from govma_core.versions.store import Pointer, staging


@dataclass(frozen=True, slots=True)
class Deduped:
    """What a dedupe came to, or would come to; `released` is by how much the file system's free space grew."""

    tally: Tally
    seconds: float
    released: int

    def sentence(self) -> str:
        """Say it in one line."""
        return tr(
            "{linked} files linked, {freed} freed in {seconds:.1f} s",
            linked=self.tally.linked,
            freed=bytes_text(self.tally.freed),
            seconds=self.seconds,
        )

    def details(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return self.tally.plain() | {"seconds": round(self.seconds, 3), "released": self.released}


def run(context: Context, *, anywhere: bool = False, reflink: str | None = None) -> Outcome:
    """Link equal files of the same path in all versions; with `anywhere` those of different paths, too.

    `reflink` stands in for the setting: auto, always or never. RefusedError when extents must be shared and cannot be.
    """
    reporter = context.reporter
    with reporter.stage("preflight"):
        _require_known_link(context)
    with reporter.stage("dedupe") as remark:
        result = _dedupe(context, anywhere=anywhere, apply=True, reflink=reflink or context.settings.reflink)
        remark.note("{seen} files seen", seen=result.tally.files)
    for reason, files in result.tally.left_alone.items():
        more = tr(", … ({count} in all)", count=files.count) if files.count > len(files.names) else ""
        reporter.warning(
            "Left alone, {reason}: {names}{more}", reason=tr(reason), names=", ".join(files.names), more=more
        )
    released = (
        tr("; the file system has {released} more free", released=bytes_text(result.released))
        if result.released > 0 and result.tally.freed
        else ""
    )
    usage.refresh(context)
    return Outcome(f"{result.sentence()}{released}.", details=result.details())


def dry_run(context: Context, *, anywhere: bool = False) -> Deduped:
    """Return what a dedupe by links would come to; takes no lock and changes nothing."""
    return _dedupe(context, anywhere=anywhere, apply=False, reflink="never")


def _dedupe(context: Context, *, anywhere: bool, apply: bool, reflink: str) -> Deduped:
    settings, reporter = context.settings, context.reporter
    began = time.monotonic()
    names = [version.name for version in reversed(context.versions.versions())]
    pointer = _require_known_link(context)
    sizes = last_measured(settings.state_dir, settings.versions_dir)
    total = sum(version.files for version in sizes.values()) if sizes.keys() >= set(names) else 0
    raise_descriptor_limit()
    with ExitStack() as stack:
        versions = stack.enter_context(safefs.opened_root(settings.versions_dir))
        if pointer.version is not None and pointer.version not in names:
            # Live under an odd name: its inodes must stay, too.
            names.append(pointer.version)
        names, roots, unread = _open_versions(stack, versions, names)
        current = names.index(pointer.version) if pointer.version in names else None
        not_linked = _warn_of_shared(context, roots[current]) if current is not None else frozenset()
        # What is linked to is on the disk first; and the free space counts what was still to be written.
        before = safefs.free_bytes(versions) if apply else 0
        with ExitStack() as inner:
            place = inner.enter_context(staging(versions))() if apply else None
            extents = place is not None and _use_extents(context, place, reflink)
            trees = dedupe_pass.Trees(names, roots, current, globs(settings.keep_single), place, not_linked, extents)
            tally = dedupe_pass.dedupe(
                trees,
                lambda so_far: reporter.progress(
                    "dedupe", so_far.files, total, tr("files, {freed} freed", freed=bytes_text(so_far.freed))
                ),
                reporter.cancellation.check,
                anywhere=anywhere,
            )
        for name in unread:
            tally.leave_alone("unreadable", name)
        released = safefs.free_bytes(versions) - before if apply else 0
    return Deduped(tally, time.monotonic() - began, released)


def _require_known_link(context: Context) -> Pointer:
    """Return where the link leads; RefusedError when it leads to nothing: which inodes must stay is not known then."""
    pointer = context.versions.pointer()
    if pointer.version is None and pointer.target is not None:
        raise RefusedError("{problem} Until then nothing is deduped.", problem=pointer.problem)
    return pointer


def _open_versions(stack: ExitStack, versions: int, names: list[str]) -> tuple[list[str], list[int], list[str]]:
    """Open the versions; return the names of those that could be, their descriptors, and the names of the others."""
    roots: dict[str, int] = {}
    for name in names:
        with suppress(PermissionError, FileNotFoundError):
            roots[name] = stack.enter_context(safefs.opened(versions, name))
    return list(roots), list(roots.values()), [name for name in names if name not in roots]


def _use_extents(context: Context, staging_fd: int, reflink: str) -> bool:
    if reflink == "never":
        return False
    can = can_share_extents(staging_fd)
    if can:
        context.reporter.info("The file system shares extents: files keep their inodes, and share their blocks.")
    elif reflink == "always":
        raise RefusedError(
            "The file system of {versions_dir} does not share extents (XFS and btrfs can); leave "
            "--reflink out to have hard links made.",
            versions_dir=context.settings.versions_dir,
        )
    return can


def _warn_of_shared(context: Context, version_fd: int) -> frozenset[int]:
    """Warn of what the live version should not share; return the inodes."""
    shared = shared_files(version_fd, context.settings.keep_single)
    if shared:
        context.reporter.warning(
            "{count} files of the live version that are written in place share their inode with "
            "another version ({shared}{ending}). `govma-console promote` with the name of the live "
            "version gives them inodes of their own.",
            count=len(shared),
            shared=", ".join(list(shared)[:5]),
            ending=", …" if len(shared) > 5 else "",
        )
    return frozenset(shared.values())
