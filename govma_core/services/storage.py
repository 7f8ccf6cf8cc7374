"""The persistent directories beside the code: whose they are, whose they must be, and what they take on the disk."""

from __future__ import annotations

import os
import shlex
import stat
import time
from dataclasses import dataclass

from govma_core import safefs
from govma_core.errors import UnsafeTreeError
from govma_core.language import tr
from govma_core.settings import Settings

DISK_SECONDS = 20.0
"""How long one directory is looked at for its disk use."""
_DEEPEST = 100
"""Levels of directories that are looked at."""


@dataclass(frozen=True, slots=True)
class Store:
    """One directory of services.storage_dir. `owner` is "uid:gid", '' when it is not there."""

    name: str
    owner: str
    wanted: str
    problem: str = ""
    mend: str = ""
    size: int | None = None
    """Bytes on the disk; None when nobody asked, or it cannot be read."""
    whole: bool = True
    """False when there is more: not enough time, too many levels, or something that cannot be read."""


def wanted_owners(settings: Settings) -> dict[str, tuple[int, int]]:
    """Give the owners that the operators' document asks for."""
    return {
        "mysql": (999, 999),
        "nginx": (101, 101),
        "redis": (1001, 1001),
        "upload-dir": settings.web_owner,
        "images-dir": settings.web_owner,
        "pythia": (1000, 1000),
    }


def stores(settings: Settings, *, disk: bool = False) -> list[Store]:
    """Look at each directory of services.storage_dir; [] without one. With `disk` also at how much is in it.

    OSError when services.storage_dir itself cannot be opened.
    """
    directory = settings.services_storage_dir
    if directory is None or not directory.is_dir():
        return []
    found = []
    with safefs.opened_root(directory) as fd:
        for name, owner in wanted_owners(settings).items():
            found.append(_store(settings, fd, name, owner, disk=disk))
    return found


def _store(settings: Settings, fd: int, name: str, owner: tuple[int, int], *, disk: bool) -> Store:
    wanted = "{}:{}".format(*owner)
    info = safefs.lstat(fd, name)
    if info is None:
        return Store(name, "", wanted)
    has = f"{info.st_uid}:{info.st_gid}"
    if not stat.S_ISDIR(info.st_mode):
        return Store(name, has, wanted, tr("{name} in services.storage_dir is no directory", name=name))
    problem = mend = ""
    if has != wanted:
        problem = tr("{name} belongs to {has}, and its container needs {wanted}", name=name, has=has, wanted=wanted)
        # In two parts: the whole path may be a value of `.env`.
        mend = tr(
            "(cd {services_storage_dir} && chown {wanted} {name})",
            services_storage_dir=shlex.quote(str(settings.services_storage_dir)),
            wanted=wanted,
            name=name,
        )
    if not disk:
        return Store(name, has, wanted, problem, mend)
    size, whole = disk_use(fd, name, DISK_SECONDS)
    return Store(name, has, wanted, problem, mend, size, whole)


def disk_use(dir_fd: int, name: str, seconds: float) -> tuple[int | None, bool]:
    """Give the bytes that a directory takes, as `du -x` counts them, and whether all of it was looked at.

    (None, False) when it cannot be opened by this user.
    """
    until = time.monotonic() + seconds
    seen: set[int] = set()
    try:
        with safefs.opened(dir_fd, name) as fd:
            top = os.fstat(fd)
            total, whole = _walk(fd, top.st_dev, seen, until)
            return total + top.st_blocks * 512, whole
    except (PermissionError, UnsafeTreeError):
        return None, False


def _walk(fd: int, device: int, seen: set[int], until: float, depth: int = 1) -> tuple[int, bool]:
    total, whole, below = 0, True, []
    with os.scandir(fd) as found:
        for entry in found:
            if time.monotonic() > until:
                return total, False
            try:
                info = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if info.st_dev != device or info.st_ino in seen:
                continue
            if stat.S_ISDIR(info.st_mode):
                below.append(entry.name)
            elif info.st_nlink > 1:
                seen.add(info.st_ino)
            total += info.st_blocks * 512
    for name in below:
        if depth == _DEEPEST or time.monotonic() > until:
            return total, False
        try:
            with safefs.opened(fd, name) as inner:
                more, all_seen = _walk(inner, device, seen, until, depth + 1)
        except (FileNotFoundError, UnsafeTreeError):
            continue
        except OSError:
            more, all_seen = 0, False
        total, whole = total + more, whole and all_seen
    return total, whole
