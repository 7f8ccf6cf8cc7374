"""The persistent directories beside the code: whose they are, whose they must be, and what they take on the disk."""

from __future__ import annotations

import re
import shlex
import stat
import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from govma_core.errors import UnsafeTreeError
from govma_core.fs import safefs
from govma_core.reporting import Reporter
from govma_core.services.compose_config import ComposeConfig
from govma_core.settings import Settings
from govma_core.text.language import tr

DISK_SECONDS = 60.0
"""How long one directory is looked at for its disk use."""
_TIMED_OUT = 124
"""Exit code of timeout(1)."""


@dataclass(slots=True)
class Store:
    """One directory of services.storage_dir. `owner` is "uid:gid", '' when it is not there."""

    name: str
    owner: str
    wanted: str
    problem: str = ""
    mend: str = ""
    size: int | None = None
    """Bytes on the disk; None when it was not measured, took too long, or cannot be read."""
    whole: bool = True
    """False when there is more, below a directory that cannot be read."""


def wanted_owners(settings: Settings) -> dict[str, tuple[int, int]]:
    """Return the owners that the operators' document asks for."""
    return {
        "mysql": (999, 999),
        "nginx": (101, 101),
        "redis": (1001, 1001),
        "upload-dir": settings.web_owner,
        "images-dir": settings.web_owner,
        "pythia": (1000, 1000),
    }


def mounted(config: ComposeConfig | None, settings: Settings) -> frozenset[str]:
    """Return the names in services.storage_dir at which, or below which, something is mounted into a container."""
    top = settings.services_storage_dir
    if config is None or top is None:
        return frozenset()
    mounts = (mount for service in config.services.values() for mount in service.mounts if mount.kind == "bind")
    sources = (Path(mount.source) for mount in mounts)
    return frozenset(path.relative_to(top).parts[0] for path in sources if top in path.parents)


def stores(settings: Settings, *, disk: bool = False, used: Collection[str] = ()) -> list[Store]:
    """Look at each directory of services.storage_dir; [] without one. With `disk` also at how much is in it.

    Of those that are `used` it is a problem when they are not there: Docker would make them, and root's.
    OSError when services.storage_dir itself cannot be opened.
    """
    directory = settings.services_storage_dir
    if directory is None:
        return []
    if not directory.is_dir():
        # Without its path, which may be a value of `.env`.
        problem = tr("services.storage_dir is not there")
        return [Store("services.storage_dir", "", "", problem)] if used else []
    rows = []
    with safefs.opened_root(directory) as fd:
        for name, owner in wanted_owners(settings).items():
            rows.append(_store(settings, fd, name, owner, disk=disk, used=name in used))
    return rows


def warn_of_owners(settings: Settings, config: ComposeConfig, reporter: Reporter) -> None:
    """Warn of persistent directories that are not as their containers need them."""
    for store in stores(settings, used=mounted(config, settings)):
        if store.mend:
            reporter.warning("{problem}. To fix: {mend}", problem=store.problem, mend=store.mend)
        elif store.problem:
            reporter.warning(f"{store.problem}.")


def _store(settings: Settings, fd: int, name: str, owner: tuple[int, int], *, disk: bool, used: bool) -> Store:
    needed = "{}:{}".format(*owner)
    info = safefs.lstat(fd, name)
    if info is None:
        store = Store(name, "", needed)
        if used:
            store.problem = tr(
                "{name} is not there, and a container has it mounted: Docker will create it, owned by root", name=name
            )
            store.mend = _mend(settings, "install -d -o {} -g {} {}".format(*owner, name))
        return store
    store = Store(name, f"{info.st_uid}:{info.st_gid}", needed)
    if not stat.S_ISDIR(info.st_mode):
        store.problem = tr("{name} in services.storage_dir is no directory", name=name)
        return store
    if store.owner != needed:
        store.problem = tr(
            "{name} belongs to {has}, and its container needs {wanted}", name=name, has=store.owner, wanted=needed
        )
        store.mend = _mend(settings, f"chown {needed} {name}")
    if disk:
        store.size, store.whole = disk_use(fd, name, DISK_SECONDS)
    return store


def _mend(settings: Settings, command: str) -> str:
    # In two parts: the whole path may be a value of `.env`.
    return f"(cd {shlex.quote(str(settings.services_storage_dir))} && {command})"


def disk_use(dir_fd: int, name: str, seconds: float) -> tuple[int | None, bool]:
    """Return the bytes that a directory takes, and whether all of it was looked at.

    (None, False) when it cannot be opened, as a link, or takes longer than that.
    """
    command = ["timeout", str(seconds), "du", "-sx", "--block-size=1"]
    try:
        with safefs.opened(dir_fd, name) as fd:
            result = subprocess.run(
                command,
                cwd=f"/proc/self/fd/{fd}",
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
    except (OSError, UnsafeTreeError):
        return None, False
    size = re.match(r"\d+", result.stdout)
    # Ended by timeout(1), it may have printed its answer in that moment.
    if size is None or result.returncode == _TIMED_OUT:
        return None, False
    return int(size[0]), not result.returncode
