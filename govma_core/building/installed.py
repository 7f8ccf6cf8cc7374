"""What is installed in the kept node_modules: a text that changes when npm, or a person, changes it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from govma_core.errors import UnsafeTreeError
from govma_core.fs import safefs

_LONGEST = 1 << 28
_LOCK = ".package-lock.json"
"""Where npm 7 and later note what they have installed."""


def state(cache: Path) -> str:
    """Return a hash of what npm noted, and of the packages by inode and change time; '' where that is not known.

    Where nothing is installed it is `nothing`. deploy.sh and people install into the same folder. Hidden names are
    caches of builds.
    """
    digest = hashlib.sha256()
    try:
        if not cache.exists() or all(name.startswith(".") and name != _LOCK for name in os.listdir(cache)):
            return "nothing"
        with safefs.opened_root(cache.parent) as parent, safefs.opened(parent, cache.name) as top:
            with os.fdopen(safefs.open_regular(top, _LOCK)[0], "rb") as file:
                if os.fstat(file.fileno()).st_size > _LONGEST:
                    return ""
                digest.update(hashlib.file_digest(file, "sha256").digest())
            _add(digest, top, scopes=True)
    except (OSError, UnsafeTreeError):
        return ""
    return digest.hexdigest()


def _add(digest: hashlib._Hash, fd: int, *, scopes: bool) -> None:
    for entry in sorted(safefs.entries(fd), key=lambda entry: entry.name):
        if entry.name.startswith(".") and entry.name != _LOCK:
            continue
        info = entry.stat(follow_symlinks=False)
        digest.update(f"{entry.name}\0{info.st_ino} {info.st_ctime_ns}\0".encode("utf-8", "surrogateescape"))
        if scopes and entry.name.startswith("@") and entry.is_dir(follow_symlinks=False):
            with safefs.opened(fd, entry.name) as scope:
                _add(digest, scope, scopes=False)
