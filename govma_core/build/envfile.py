"""The CMS's secret settings go into the tree; their content is never said anywhere, only its hash is given."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from govma_core import safefs, safetree
from govma_core.language import tr

_FOLDER = ("system", "user", "config")
_NAME = ".env"


def preflight(path: Path) -> list[str]:
    """Give a sentence when the env file cannot be used."""
    hint = tr("set GOV_MA_USER_ENV_FILE (the repository's data/system/user/config/.env.sample shows what goes in)")
    try:
        info = path.stat()
    except OSError as error:
        return [
            tr(
                "env_file ({path}) cannot be read: {strerror}. Create it, or {hint}.",
                path=path,
                strerror=error.strerror,
                hint=hint,
            )
        ]
    if not stat.S_ISREG(info.st_mode):
        return [tr("env_file ({path}) is not a file. Put a file there, or {hint}.", path=path, hint=hint)]
    if not os.access(path, os.R_OK):
        return [tr("env_file ({path}) cannot be read by this user. Run as root, or {hint}.", path=path, hint=hint)]
    return []


def install(path: Path, data_fd: int) -> str:
    """Copy the env file to `system/user/config/.env` of the tree, with its permission bits; give its sha256."""
    with path.open("rb") as source, safefs.made(data_fd, *_FOLDER) as folder:
        safetree.remove(folder, _NAME)
        target = os.open(_NAME, safefs.CREATE_FLAGS, 0o600, dir_fd=folder)
        try:
            safetree.copy_content(source.fileno(), target)
            os.fchmod(target, stat.S_IMODE(os.fstat(source.fileno()).st_mode) & 0o777)
        finally:
            os.close(target)
        source.seek(0)
        return hashlib.file_digest(source, "sha256").hexdigest()
