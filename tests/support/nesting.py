"""Directories in one another, deeper than a path may be long."""

from __future__ import annotations

import os
from pathlib import Path


def nest(folder: Path, levels: int) -> None:
    """Make so many directories in one another, each named `d`, in a folder."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        for _ in range(levels):
            os.mkdir("d", dir_fd=fd)
            above, fd = fd, os.open("d", os.O_RDONLY, dir_fd=fd)
            os.close(above)
    finally:
        os.close(fd)
