"""What a test needs to be allowed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="changing owners needs root")


def passable(folder: Path) -> Path:
    """Return a folder with the way to it open: a build runs as another user, and must get there."""
    for directory in (folder, *folder.parents):
        if directory.stat().st_uid == os.geteuid() and directory != Path("/"):
            directory.chmod(directory.stat().st_mode | 0o055)
    return folder
