"""What the last account came to, in one small file that is read at once: `<state_dir>/usage/summary.json`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path

from govma_core import jsonfile, safefs
from govma_core.disk.usage_pack import replace_file

NAME = "summary.json"


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


def last_measured(cache_dir: Path, versions_dir: Path | None = None) -> dict[str, VersionUsage]:
    """Give what the last measure() found, by name, of the versions that are still the same directories.

    Nothing is given of another versions directory than `versions_dir`, when that is named. Takes one call of the system
    a version; what changed inside one since shows at the next measure().
    """
    try:
        written = jsonfile.read(cache_dir / NAME) or {}
        with safefs.opened_root(versions_dir or Path(written["versions_dir"])) as fd:
            versions = os.fstat(fd)
            if versions.st_ino != written["inode"]:
                return {}
            return {
                name: VersionUsage(name, *numbers)
                for name, inode, near, *numbers in written["versions"]
                if _is_still(fd, name, versions.st_dev, inode, near)
            }
    except (OSError, KeyError, TypeError, ValueError):
        return {}


def _is_still(versions_fd: int, name: str, device: int, inode: int, near: bool) -> bool:
    """Tell whether a version is the directory that was measured; numbers of devices may change at each boot."""
    info = safefs.lstat(versions_fd, name)
    return info is not None and info.st_ino == inode and (info.st_dev == device) == near


def write_summary(
    cache_dir: Path,
    versions_dir: Path,
    versions: os.stat_result,
    current: str | None,
    found: Iterable[tuple[VersionUsage, int, int]],
) -> None:
    """Write what last_measured() gives, with device and inode of each version; OSError as it comes."""
    data = {
        "versions_dir": str(versions_dir),
        "inode": versions.st_ino,
        "current": current,
        "versions": [
            [usage.name, inode, device == versions.st_dev, *astuple(usage)[1:]] for usage, device, inode in found
        ],
    }
    replace_file(cache_dir / NAME, [json.dumps(data, separators=(",", ":")).encode()], mode=0o644)
