"""What `du` says, to hold our account against."""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from govma_core.disk.usage import Usage


def du(*paths: Path, apparent: bool = False) -> int:
    """Return the bytes that `du -s` says of each path, added up; of all together each inode once."""
    command = ["du", "-s", "-c", "--block-size=1", *(["--apparent-size"] if apparent else []), "--"]
    result = subprocess.run([*command, *map(os.fsencode, paths)], capture_output=True, check=True)
    total = int(result.stdout.rstrip(b"\n").rpartition(b"\n")[2].partition(b"\t")[0])
    if apparent and not _counts_directories():
        # coreutils since 9.2
        total += sum(info.st_size for path in paths for info in stats(path) if stat.S_ISDIR(info.st_mode))
    return total


def stats(path: Path) -> Iterator[os.stat_result]:
    """Yield what lstat says of every name below a path, the path itself included; however deep."""
    waiting = [os.open(path, os.O_RDONLY | os.O_DIRECTORY)]
    yield os.fstat(waiting[0])
    while waiting:
        fd = waiting.pop()
        for entry in os.scandir(fd):
            yield entry.stat(follow_symlinks=False)
            if entry.is_dir(follow_symlinks=False):
                waiting.append(os.open(entry.name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd))
        os.close(fd)


@cache
def _counts_directories() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        result = subprocess.run(
            ["du", "-s", "--apparent-size", "--block-size=1", folder], capture_output=True, check=True
        )
        return not result.stdout.startswith(b"0\t")


def assert_is_du(usage: Usage, directory: Path) -> None:
    """Hold everything that du can tell of an account against it."""
    for version in usage.versions:
        path = directory / version.name
        assert version.size == du(path)
        assert version.apparent == du(path, apparent=True)
        assert version.shared == version.size - version.exclusive
        assert version.files == sum(stat.S_ISREG(info.st_mode) for info in stats(path))
    paths = [directory / version.name for version in usage.versions]
    assert usage.real == (du(*paths) if paths else 0)
    assert usage.real + usage.others == du(directory)
    assert usage.unlinked == sum(info.st_blocks * 512 for path in paths for info in stats(path))
