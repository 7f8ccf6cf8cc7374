"""To which state_dir a directory belongs: two would end each other's builds, and prune what the other has pinned.

The state_dir notes the path of the directory; the directory names the state_dir in an extended attribute, root's in the
namespace that only root reads and writes. Both have to say the same: a state_dir that is gone, or that has come to use
another directory, claims nothing any more.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from govma_core.fs import jsonfile


def is_noted(directory: Path, state_dir: Path, role: str) -> bool:
    """Tell whether the state_dir has this directory for its work-dir or versions-dir, the file of the note."""
    try:
        return (state_dir / role).read_bytes() in (os.fsencode(directory.resolve()), os.fsencode(directory))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return False


def claim(directory: Path, state_dir: Path, role: str) -> None:
    """Note on both sides that they belong together; on a file system without attributes only the state_dir does."""
    if not is_noted(directory, state_dir, role):
        jsonfile.replace_bytes(state_dir / role, os.fsencode(directory.resolve()))
    with suppress(OSError):
        os.setxattr(directory, _attribute(), os.fsencode(state_dir.resolve()))


def other_owner(directory: Path, state_dir: Path, role: str) -> Path | None:
    """Return the other state_dir that a directory belongs to; None when it is ours, or nobody's."""
    try:
        owner = Path(os.fsdecode(os.getxattr(directory, _attribute())))
    except OSError:
        return None
    return owner if owner != state_dir.resolve() and is_noted(directory, owner, role) else None


def _attribute() -> str:
    return f"{'trusted' if os.geteuid() == 0 else 'user'}.govma-console.state-dir"
