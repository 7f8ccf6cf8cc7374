"""What the last account came to, in one small file that is read at once: `<state_dir>/usage/summary`.

A checksum on a line, then JSON. It also spares the next account its sums when nothing changed: `key` stands for
everything that went into them.
"""

from __future__ import annotations

import json
import os
import stat
import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

from govma_core import safefs
from govma_core.disk.usage.pack import replace_file

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
