# TWO SESSIONS EDIT THESE FILES: read /tmp/usage-twin.md now, before any further edit.
"""The account of the versions: what each takes, shares and would free, exact to the byte, and cheap to ask again.

Sizes are those of `du`: blocks of 512 bytes as the file system tells them, every inode once, directories counted.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from govma_core import safefs
from govma_core.disk import usage_seals
from govma_core.disk.usage_inodes import InodesDifferError
from govma_core.disk.usage_ledger import Ledger, OutdatedError, Sealed
from govma_core.disk.usage_summary import VersionUsage, last_measured, write_summary
from govma_core.disk.usage_sums import Prices, sums
from govma_core.disk.usage_workers import REST, Survey

__all__ = ["Usage", "VersionUsage", "last_measured", "measure"]

_SEALS = "seals"


@dataclass(frozen=True, slots=True)
class Usage:
    """What the versions take together; all in bytes.

    `versions` are in the order in which they were named. `real` is what they take, every inode once; `unlinked` what
    they would take without hard links, every name counted. `others` is what else lies in the versions directory (odd
    names, hidden ones, the link, the directory itself): real + others is what `du -s` says of it. `free` and `capacity`
    are of the file system. `measured` is seconds since the epoch. `unread` counts directories that this user may not
    read: when there are any, everything is at least what it says.
    """

    versions: tuple[VersionUsage, ...]
    real: int
    others: int
    unlinked: int
    free: int
    capacity: int
    measured: float
    unread: int = 0
    prices: Prices = field(default_factory=Prices, repr=False, compare=False)

    def freed_by(self, names: Collection[str]) -> int:
        """Give the bytes that removing all of these versions frees; names that were not measured free nothing.

        It is more than the sum of what each has for itself: what only these share is freed, too.
        """
        return self.prices.of(names)


def measure(
    versions_dir: Path,
    names: Sequence[str],
    *,
    current: str | None,
    cache_dir: Path | None,
    rescan: bool = False,
    step: Callable[[], None] = lambda: None,
    workers: int = 2,
) -> Usage:
    """Measure the versions of these names; those that are not there (any more) are left out.

    With cache_dir, versions that did not change since they were measured last are looked at instead of walked, unless
    `rescan`; the `current` one, which the site writes to, is always walked. The cache is written when it can be.
    `step` is called often, and may raise to end it. workers=1 does everything in this process, and is for threads;
    otherwise so many processes are forked, where this one has no other threads. OSError when versions_dir cannot be
    read.
    """
    with safefs.opened_root(versions_dir) as fd:
        wanted = [name for name in dict.fromkeys(names) if _is_version(fd, name)]
        began = time.time()
        sealed = usage_seals.load(cache_dir / _SEALS, os.fstat(fd)) if cache_dir and not rescan else Sealed()
        try:
            ledger = _survey(fd, wanted, current, sealed, step, workers)
        except OutdatedError:
            ledger = _survey(fd, wanted, current, Sealed(), step, workers)
        found = sums(ledger, wanted)
        if cache_dir:
            # A cache that cannot be written (by this user, on a full disk) only makes the next time slower.
            with suppress(OSError):
                _remember(cache_dir, versions_dir, os.fstat(fd), current, ledger, found.versions)
        room = os.fstatvfs(fd)
    return Usage(
        versions=found.versions,
        real=found.real,
        others=found.others,
        unlinked=found.unlinked,
        free=room.f_bavail * room.f_frsize,
        capacity=room.f_blocks * room.f_frsize,
        measured=began,
        unread=found.unread,
        prices=found.prices,
    )


def _is_version(versions_fd: int, name: str) -> bool:
    info = safefs.lstat(versions_fd, name) if "/" not in name and name not in ("", ".", "..") else None
    return info is not None and stat.S_ISDIR(info.st_mode)


def _survey(
    fd: int, wanted: Sequence[str], current: str | None, sealed: Sealed, step: Callable[[], None], workers: int
) -> Ledger:
    """Look at everything, what takes longest first."""
    sealed.keep([name for name in wanted if name != current])
    bits = sealed.bits_for(wanted)
    tasks = sorted([REST, *wanted], key=lambda name: (name != current, name in sealed.parts))
    try:
        found = Survey(fd, tasks, sealed.parts, bits, every=False, step=step).carry_out(workers)
    except InodesDifferError:
        found = Survey(fd, tasks, sealed.parts, bits, every=True, step=step).carry_out(workers)
    return Ledger(sealed, found, bits)


def _remember(
    cache_dir: Path,
    versions_dir: Path,
    versions: os.stat_result,
    current: str | None,
    ledger: Ledger,
    found: Sequence[VersionUsage],
) -> None:
    """Write the summary, and the seals when they are not as they were."""
    cache_dir.mkdir(parents=True, exist_ok=True)
    steady = {name: part for name, part in ledger.parts.items() if part.steady and name != current}
    if ledger.changed or not ledger.found.walked.keys().isdisjoint(steady):
        with suppress(OutdatedError):
            usage_seals.save(cache_dir / _SEALS, versions, ledger, steady)
    roots = {name: (part.device, part.inode) for name, part in ledger.parts.items()}
    write_summary(cache_dir, versions_dir, versions, current, [(usage, *roots[usage.name]) for usage in found])
