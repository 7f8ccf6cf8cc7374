"""What is in a tree, exactly: all that a dedupe must leave as it was, and what it may change."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_ONLY_TIMES = re.compile(r"\.[fdLDS]\.\.[t.]\.+ .*")


@dataclass(frozen=True, slots=True)
class Seen:
    """One path as everybody sees it: kind, permissions, owner, attributes; its bytes, target or device number."""

    mode: int
    owner: tuple[int, int]
    attributes: tuple[tuple[str, bytes], ...]
    content: bytes


@dataclass(frozen=True, slots=True)
class Identity:
    """What is behind a path: device, inode, and when it was written (nanoseconds)."""

    device: int
    inode: int
    written: int


@dataclass(frozen=True, slots=True)
class Entry:
    """What a publication keeps of a path: mode, owner, when it was written (nanoseconds), its bytes or target."""

    mode: int
    owner: tuple[int, int]
    written: int
    content: bytes


def picture(root: Path) -> dict[bytes, Seen]:
    """Look at every path below root, without following links."""
    return {path: _look(path) for path in _paths(root)}


def identities(root: Path) -> dict[bytes, Identity]:
    """Return what is behind every path below root, relative to it."""
    found = {}
    for path in _paths(root):
        info = os.lstat(path)
        found[os.path.relpath(path, os.fsencode(root))] = Identity(info.st_dev, info.st_ino, info.st_mtime_ns)
    return found


def entries(tree: Path, is_timed: Callable[[Path], bool] = lambda path: True) -> dict[str, Entry]:
    """Look at a tree and all that is in it; the times of links, which are made anew, and of what is not timed are 0."""
    looks = {}
    for path in [tree, *tree.rglob("*")]:
        info, is_link = path.lstat(), path.is_symlink()
        content = os.fsencode(path.readlink()) if is_link else path.read_bytes() if path.is_file() else b""
        time = info.st_mtime_ns if is_timed(path) and not is_link else 0
        looks[str(path.relative_to(tree))] = Entry(info.st_mode, (info.st_uid, info.st_gid), time, content)
    return looks


def disk_usage(*roots: Path) -> int:
    """Return the bytes on the disk as du counts them: each inode once over all the roots."""
    done = subprocess.run(["du", "-sc", "--block-size=1", *roots], capture_output=True, text=True, check=True)
    return int(done.stdout.splitlines()[-1].split()[0])


def differences(root: Path, copy: Path) -> list[str]:
    """Return what rsync would change to make a copy equal again by checksum, but for times."""
    command = ["rsync", "-naX", "--checksum", "--delete", "-i", f"{root}/", f"{copy}/"]
    done = subprocess.run(command, capture_output=True, text=True, errors="surrogateescape", check=True)
    return [line for line in done.stdout.splitlines() if not _ONLY_TIMES.fullmatch(line)]


def copied(root: Path, copy: Path) -> Path:
    """Copy a tree with all that is in it, hard links too."""
    subprocess.run(["cp", "-a", "--", str(root), str(copy)], check=True)
    return copy


def _paths(root: Path) -> list[bytes]:
    found = []
    for at, directories, files in os.walk(os.fsencode(root), onerror=_raised):
        found += [os.path.join(at, name) for name in [*directories, *files]]
    return found


def _raised(error: OSError) -> None:
    raise error


def _look(path: bytes) -> Seen:
    info = os.lstat(path)
    content = b""
    if stat.S_ISREG(info.st_mode):
        content = Path(os.fsdecode(path)).read_bytes()
    elif stat.S_ISLNK(info.st_mode):
        content = os.readlink(path)
    elif stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode):
        content = str(info.st_rdev).encode()
    names = sorted(os.listxattr(path, follow_symlinks=False))
    attributes = tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in names)
    return Seen(info.st_mode, (info.st_uid, info.st_gid), attributes, content)
