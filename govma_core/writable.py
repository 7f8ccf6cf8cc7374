"""Whether directories can be written and read, as a sentence for who is to mend it."""

from __future__ import annotations

import os
from pathlib import Path

from govma_core.language import tr


def cannot_write(name: str, path: Path) -> str:
    """Say of a directory, by the name of its setting, why nothing can be made in it; '' when something can."""
    if os.access(path, os.W_OK | os.X_OK):
        return ""
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        return tr(
            "{name} ({path}) is mounted read-only. Mount it for writing, then run it again.", name=name, path=path
        )
    return tr("{name} ({path}) cannot be written by this user. Run as root.", name=name, path=path)


def cannot_know(state_dir: Path) -> str:
    """Say why this user does not know what was written down in state_dir; '' when it does, or nothing was."""
    try:
        os.scandir(state_dir).close()
    except PermissionError:
        return tr(
            "state_dir ({state_dir}) cannot be read by this user: who deployed what, pins, marks, sizes and the "
            "history cannot be shown. Run as root, or as a member of log_group.",
            state_dir=state_dir,
        )
    except OSError:
        pass
    return ""
