"""The account of the versions: what each takes, shares and would free, exact to the byte, and cheap to ask again.

Sizes are those of `du`: blocks of 512 bytes as the file system tells them, every inode once, directories counted.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from govma_core import safefs
from govma_core.disk.usage import seals
from govma_core.disk.usage.inodes import InodesDifferError
from govma_core.disk.usage.key import key_of, key_to_come
from govma_core.disk.usage.ledger import Found, Ledger, OutdatedError, SealedParts
from govma_core.disk.usage.summary import (
    Prices,
    Sums,
    VersionUsage,
    last_current,
    last_measured,
    recall,
    write_summary,
)
from govma_core.disk.usage.sums import sums
from govma_core.disk.usage.workers import REST, Survey

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
        """Return the bytes that removing all of these versions frees; names that were not measured free nothing.

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
        began = time.time()
        account = _Account(
            fd,
            [name for name in dict.fromkeys(names) if _is_version(fd, name)],
            current,
            step,
            workers,
            versions_dir,
            cache_dir,
        )
        sealed = seals.load(cache_dir / _SEALS, os.fstat(fd)) if cache_dir and not rescan else SealedParts()
        try:
            found = account.take(sealed)
        except OutdatedError:
            found = account.take(SealedParts())
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


@dataclass(frozen=True, slots=True)
class _Account:
    """One pass over the versions `names` in the open versions directory; the rest as for measure()."""

    fd: int
    names: Sequence[str]
    current: str | None
    step: Callable[[], None]
    workers: int
    versions_dir: Path
    cache_dir: Path | None

    def take(self, sealed: SealedParts) -> Sums:
        """Look at everything and sum it up; OutdatedError when the seals turn out to be no good."""
        sealed.keep([name for name in self.names if name != self.current])
        bits = sealed.bits_for(self.names)
        found = self._look(sealed, bits)
        if self.cache_dir and sealed.stored == found.same.keys():
            known = recall(self.cache_dir, key_of(sealed.key, found, self.names))
            if known is not None:
                return known
        ledger = Ledger(sealed, found, bits)
        result = sums(ledger, self.names)
        if self.cache_dir:
            # A cache that cannot be written (by this user, on a full disk) only makes the next time slower.
            with suppress(OSError):
                self._remember(self.cache_dir, ledger, result)
        return result

    def _look(self, sealed: SealedParts, bits: Mapping[str, int]) -> Found:
        # What takes longest first.
        tasks = sorted([REST, *self.names], key=lambda name: (name != self.current, name in sealed.parts))
        try:
            return Survey(self.fd, tasks, sealed.parts, bits, every=False, step=self.step).carry_out(self.workers)
        except InodesDifferError:
            return Survey(self.fd, tasks, sealed.parts, bits, every=True, step=self.step).carry_out(self.workers)

    def _remember(self, cache_dir: Path, ledger: Ledger, result: Sums) -> None:
        """Write the summary, and the seals when they are not as they were."""
        cache_dir.mkdir(parents=True, exist_ok=True)
        # PHP may go on writing to the version that was live until just now: that one is sealed in the next pass.
        writing = {self.current, last_current(cache_dir)}
        same = ledger.found.same
        sealed = {
            name: part for name, part in ledger.parts.items() if name in same or (part.steady and name not in writing)
        }
        sealed_as = ledger.sealed.key
        if ledger.changed or len(sealed) > len(same):
            sealed_as = seals.save(cache_dir / _SEALS, os.fstat(self.fd), ledger, sealed)
        key = key_to_come(sealed_as, ledger, sealed, self.names)
        roots = [(ledger.parts[usage.name].device, ledger.parts[usage.name].inode) for usage in result.versions]
        write_summary(cache_dir, self.versions_dir, os.fstat(self.fd), self.current, key, result, roots)
