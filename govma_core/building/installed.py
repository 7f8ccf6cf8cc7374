"""What is installed in the kept node_modules: texts that change when npm, a step of a build or a person changes it."""

from __future__ import annotations

import hashlib
import os
from contextlib import closing
from pathlib import Path

from govma_core.errors import UnsafeTreeError
from govma_core.fs import safefs
from govma_core.fs.walk import Directories, walk

_LONGEST = 1 << 28
_LOCK = ".package-lock.json"
"""Where npm 7 and later note what they have installed."""
_CACHE = ".cache"
"""Where tools keep what they may lose."""


def state(cache: Path) -> str:
    """Return a hash of what npm noted, and of the packages by inode and change time; '' where that is not known.

    Where nothing is installed it is `nothing`. deploy.sh and people install into the same folder; npm writes its note
    anew when it changes nothing. Other hidden names are caches of builds.
    """
    digest = hashlib.sha256()
    try:
        with safefs.opened_root(cache.parent) as parent, safefs.opened(parent, cache.name) as top:
            if all(entry.name.startswith(".") and entry.name != _LOCK for entry in safefs.entries(top)):
                return "nothing"
            with os.fdopen(safefs.open_regular(top, _LOCK)[0], "rb") as file:
                if os.fstat(file.fileno()).st_size > _LONGEST:
                    return ""
                digest.update(hashlib.file_digest(file, "sha256").digest())
            _add(digest, top, scopes=True)
    except FileNotFoundError:
        return "" if cache.exists() else "nothing"
    except (OSError, UnsafeTreeError):
        return ""
    return digest.hexdigest()


def contents(cache: Path) -> str | None:
    """Return a hash of all in node_modules but `.cache`, by inode and change time; '' without one, None if unreadable.

    It tells also that a file was written in its place, which state() does not, and has to look at every file for that.
    """
    digest = hashlib.sha256()
    try:
        with (
            safefs.opened_root(cache.parent) as parent,
            safefs.opened(parent, cache.name) as top,
            closing(Directories([top])) as directories,
        ):
            for path, entries in walk(directories, elsewhere=[_CACHE]):
                # Not of the top itself: a builder may move it.
                if path:
                    _add_line(digest, path, os.fstat(directories.fd(0, path)))
                for entry in entries:
                    _add_line(digest, entry.name, entry.stat(follow_symlinks=False))
    except FileNotFoundError:
        return ""
    except (OSError, UnsafeTreeError):
        return None
    return digest.hexdigest()


def _add(digest: hashlib._Hash, fd: int, *, scopes: bool) -> None:
    for entry in sorted(safefs.entries(fd), key=lambda entry: entry.name):
        if entry.name.startswith("."):
            continue
        _add_line(digest, entry.name, entry.stat(follow_symlinks=False))
        if scopes and entry.name.startswith("@") and entry.is_dir(follow_symlinks=False):
            with safefs.opened(fd, entry.name) as scope:
                _add(digest, scope, scopes=False)


def _add_line(digest: hashlib._Hash, name: str, info: os.stat_result) -> None:
    digest.update(f"{name}\0{info.st_ino} {info.st_ctime_ns}\0".encode("utf-8", "surrogateescape"))
