"""Small JSON files in the state directory: replaced atomically, appended durably, read with patience.

Only the user who runs govma-console can write the state directory, so plain paths are safe here.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_STAGED = re.compile(r"\..+-(\d+)-[0-9a-f]{16}")


def staged_beside(path: Path) -> Path:
    """Return a hidden name beside path that is in no use; it tells which process it belongs to (see sweep)."""
    return path.with_name(f".{path.name}-{os.getpid()}-{os.urandom(8).hex()}")


def sweep(directory: Path) -> None:
    """Remove what processes that are gone had staged in the directory; what resists stays."""
    with suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            match = _STAGED.fullmatch(entry.name)
            if match and not os.path.exists(f"/proc/{match[1]}"):
                with suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        shutil.rmtree(entry.path)
                    else:
                        os.unlink(entry.path)


def replace(path: Path, data: Mapping[str, Any], *, mode: int = 0o644, durable: bool = True) -> None:
    """Write data as the new content of path in one rename; with `durable` it is on the disk when this returns."""
    replace_bytes(path, encoded(data), mode=mode, durable=durable)


def encoded(data: Mapping[str, Any]) -> bytes:
    """Return the content of such a file."""
    text = json.dumps(data, ensure_ascii=False, indent=1) + "\n"
    # A name on disk need not be UTF-8: what is not becomes an escape, which JSON reads back as it was.
    return text.encode("utf-8", "backslashreplace")


def replace_bytes(
    path: Path, content: bytes, *, mode: int = 0o644, durable: bool = True, overwrite: bool = True
) -> None:
    """Write the new content of path in one rename; with `durable` it is on the disk when this returns.

    FileExistsError when there is something at path and not to `overwrite`.
    """
    staged = staged_beside(path)
    fd = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(fd, "wb") as file:
            os.fchmod(fd, mode)
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        if overwrite:
            os.replace(staged, path)
        else:
            os.link(staged, path)
    finally:
        staged.unlink(missing_ok=True)
    if durable:
        sync_directory(path.parent)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a directory or file for the block, once it is free; a file that is missing is made.

    Only its owner may open that: a user who can open it could hold it.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY if path.is_dir() else os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
    fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def read(path: Path) -> dict[str, Any] | None:
    """Return the object in the file; None when it is not there, damaged or not for this user to read."""
    try:
        data = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, PermissionError, ValueError):
        return None
    return data if isinstance(data, dict) else None


def append(path: Path, data: Mapping[str, Any]) -> None:
    """Add one object as a line, and put it on the disk."""
    line = json.dumps(data, ensure_ascii=False, separators=(",", ":")) + "\n"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        # A line that a crash cut short must not swallow this one.
        size = os.fstat(fd).st_size
        if size and os.pread(fd, 1, size - 1) != b"\n":
            line = "\n" + line
        os.write(fd, line.encode("utf-8", "backslashreplace"))
        os.fsync(fd)
    finally:
        os.close(fd)
    if not size:
        # The file may have been made just now.
        sync_directory(path.parent)


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file with one a line; damaged lines are passed over."""
    try:
        file = path.open("rb")
    except (FileNotFoundError, PermissionError):
        return
    with file:
        for line in file:
            try:
                data = json.loads(line)
            except ValueError:
                continue
            if isinstance(data, dict):
                yield data


def sync_directory(path: Path) -> None:
    """Put a directory's names on the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
