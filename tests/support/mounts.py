"""File systems that a test mounts for itself; only root can."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest


def small_file_system(path: Path, size: str) -> AbstractContextManager[None]:
    """Mount a tmpfs of that size for the time of the block."""
    return _mounted(path, "-t", "tmpfs", "-o", f"size={size}", "tmpfs")


@contextmanager
def file_system_in_a_file(path: Path, kind: str, megabytes: int) -> Iterator[None]:
    """Mount a new file system of that kind for the time of the block; the file that holds it is beside the path."""
    image = path.with_name(f"{path.name}.image")
    with image.open("wb") as file:
        file.truncate(megabytes << 20)
    subprocess.run([f"mkfs.{kind}", "-q", image], check=True, capture_output=True)
    with _mounted(path, "-o", "loop", str(image)):
        yield


@contextmanager
def _mounted(path: Path, *arguments: str) -> Iterator[None]:
    path.mkdir(parents=True, exist_ok=True)
    result = subprocess.run(["mount", *arguments, str(path)], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        pytest.skip(f"this cannot be mounted here: {result.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(path)], check=True)
