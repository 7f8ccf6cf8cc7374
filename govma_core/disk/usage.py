"""The account of the versions, as operations need it: measured now, and brought up to date after a change."""

from __future__ import annotations

import json
import os
import stat
import time
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

from govma_core.context import Context
from govma_core.disk import usage_cache
from govma_core.disk.usage_cache import Found, Group, Ledger, OutdatedError, SealedParts, key_of, key_to_come
from govma_core.disk.usage_data import Part, replace_file
from govma_core.disk.usage_walk import REST, InodesDifferError, Survey
from govma_core.errors import GovmaError
from govma_core.fs import safefs
from govma_core.text.language import tr

NAME = "summary"


@dataclass(frozen=True, slots=True)
class VersionUsage:
    """What a version takes, in bytes; directories are counted, as `du` does.

    `apparent` is how long its files are, `size` what they take on the disk (each inode once, shared or not).
    `exclusive` is what removing it alone frees, `shared` the rest of `size`: other versions, or somebody else, have
    links to it. `files` counts the names of regular files.
    """

    name: str
    apparent: int
    size: int
    exclusive: int
    shared: int
    files: int


@dataclass(frozen=True, slots=True)
class Prices:
    """What removing a set of versions frees, exactly.

    `bits`, and the bytes that a version has for itself (`alone`), are by name. `together` are the bytes that exactly
    the versions of these bits hold, and nobody else.
    """

    bits: Mapping[str, int] = field(default_factory=dict)
    alone: Mapping[str, int] = field(default_factory=dict)
    together: Mapping[int, int] = field(default_factory=dict)

    def of(self, names: Collection[str]) -> int:
        """Return the bytes that removing all these versions frees; names that are not known free nothing."""
        known = self.bits.keys() & set(names)
        staying = ~sum(self.bits[name] for name in known)
        shared = sum(size for holders, size in self.together.items() if not holders & staying)
        return sum(self.alone[name] for name in known) + shared


@dataclass(frozen=True, slots=True)
class Sums:
    """The numbers of a Usage, which says what they are."""

    versions: tuple[VersionUsage, ...]
    real: int
    others: int
    unlinked: int
    unread: int
    prices: Prices


def last_measured(cache_dir: Path, versions_dir: Path | None = None) -> dict[str, VersionUsage]:
    """Return what the last measure() found, by name, of the versions that are still the same directories.

    Nothing is given of another versions directory than `versions_dir`, when that is named. Takes one call of the system
    a version; what changed inside one since shows at the next measure().
    """
    try:
        written = _read(cache_dir)
        with safefs.opened_root(versions_dir or Path(written["versions_dir"])) as fd:
            versions = os.fstat(fd)
            if versions.st_ino != written["inode"]:
                return {}
            return {
                usage[0]: VersionUsage(*usage)
                for usage, inode, near in written["versions"]
                if _is_still(fd, usage[0], versions.st_dev, inode, near)
            }
    except (OSError, KeyError, TypeError, ValueError):
        return {}


def last_current(cache_dir: Path) -> str | None:
    """Return the version that was live when the last measure() was made."""
    current = _read(cache_dir).get("current")
    return current if isinstance(current, str) else None


def recall(cache_dir: Path, key: str) -> Sums | None:
    """Return what the last measure() came to, when the same went into it."""
    written = _read(cache_dir)
    if not key or written.get("key") != key:
        return None
    try:
        versions = tuple(VersionUsage(*usage) for usage, _, _ in written["versions"])
        prices = written["prices"]
        together = {int(held, 16): size for held, size in prices["together"].items()}
        real, others, unlinked, unread = written["sums"]
        return Sums(versions, real, others, unlinked, unread, Prices(prices["bits"], prices["alone"], together))
    except (KeyError, TypeError, ValueError):
        return None


def write_summary(
    cache_dir: Path,
    versions_dir: Path,
    versions: os.stat_result,
    current: str | None,
    key: str,
    sums: Sums,
    roots: Iterable[tuple[int, int]],
) -> None:
    """Write it; `roots` are device and inode of each version in the sums. OSError as it comes."""
    prices = sums.prices
    data = {
        "versions_dir": str(versions_dir),
        "inode": versions.st_ino,
        "current": current,
        "versions": [
            [astuple(usage), inode, device == versions.st_dev]
            for usage, (device, inode) in zip(sums.versions, roots, strict=True)
        ],
        "key": key,
        "sums": [sums.real, sums.others, sums.unlinked, sums.unread],
        "prices": {
            "bits": prices.bits,
            "alone": prices.alone,
            "together": {f"{held:x}": size for held, size in prices.together.items()},
        },
    }
    text = json.dumps(data, separators=(",", ":")).encode()
    replace_file(cache_dir / NAME, [b"%08x\n" % zlib.crc32(text), text], mode=0o644)


def _read(cache_dir: Path) -> dict[str, Any]:
    """Return what was written; nothing when there is no such file, or it is damaged."""
    try:
        checksum, _, text = (cache_dir / NAME).read_bytes().partition(b"\n")
        written = json.loads(text) if checksum == b"%08x" % zlib.crc32(text) else {}
    except (OSError, ValueError):
        return {}
    return written if isinstance(written, dict) else {}


def _is_still(versions_fd: int, name: str, device: int, inode: int, near: bool) -> bool:
    """Tell whether a version is the directory that was measured; numbers of devices may change at each boot."""
    info = safefs.lstat(versions_fd, name)
    if info is None or not stat.S_ISDIR(info.st_mode):
        return False
    return info.st_ino == inode and (info.st_dev == device) == near


_BLOCK = 512


def sums(ledger: Ledger, names: Sequence[str]) -> Sums:
    """Add everything up; versions come in the order of the names, those that were not found are left out."""
    groups = ledger.groups()
    bits, rest = ledger.bits, ledger.found.rest
    parts = [ledger.parts[name] for name in names if name in ledger.parts]
    own = sum(part.blocks for part in parts)
    named = sum(held.bit_count() * group.blocks for held, group in groups.items())
    return Sums(
        versions=tuple(_version(part, bits[part.name], groups) for part in parts),
        real=(own + sum(group.blocks for group in groups.values())) * _BLOCK,
        others=((rest.blocks if rest else 0) + sum(blocks for blocks, _, _ in ledger.rest_alone())) * _BLOCK,
        unlinked=(own + named + ledger.repeats()) * _BLOCK,
        unread=sum(part.unread for part in parts) + (rest.unread if rest else 0),
        prices=Prices(
            bits=bits,
            alone={part.name: part.blocks * _BLOCK for part in parts},
            together={held: group.inside * _BLOCK for held, group in groups.items() if group.inside},
        ),
    )


def _version(part: Part, bit: int, groups: Mapping[int, Group]) -> VersionUsage:
    held = [group for holders, group in groups.items() if holders & bit]
    size = part.blocks + sum(group.blocks for group in held)
    exclusive = part.blocks + (groups[bit].inside if bit in groups else 0)
    return VersionUsage(
        name=part.name,
        apparent=part.sizes + sum(group.sizes for group in held),
        size=size * _BLOCK,
        exclusive=exclusive * _BLOCK,
        shared=(size - exclusive) * _BLOCK,
        files=part.files,
    )


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
        sealed = usage_cache.load(cache_dir / _SEALS, os.fstat(fd)) if cache_dir and not rescan else SealedParts()
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
            sealed_as = usage_cache.save(cache_dir / _SEALS, os.fstat(self.fd), ledger, sealed)
        key = key_to_come(sealed_as, ledger, sealed, self.names)
        roots = [(ledger.parts[usage.name].device, ledger.parts[usage.name].inode) for usage in result.versions]
        write_summary(cache_dir, self.versions_dir, os.fstat(self.fd), self.current, key, result, roots)


def account(context: Context, *, rescan: bool = False, workers: int = 2) -> Usage:
    """Measure all versions, the newest first; `rescan` trusts nothing that was measured before."""
    settings = context.settings
    return measure(
        settings.versions_dir,
        [version.name for version in context.versions.versions()],
        current=context.versions.pointer().version,
        cache_dir=settings.state_dir / "usage",
        rescan=rescan,
        step=context.reporter.cancellation.check,
        workers=workers,
    )


def refresh(context: Context) -> Usage | None:
    """Bring up to date what `list` shows; what goes wrong is a warning."""
    try:
        return account(context)
    except (GovmaError, OSError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        context.reporter.warning(tr("The sizes of the versions could not be measured: {reason}.", reason=reason))
        return None
