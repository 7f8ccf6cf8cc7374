"""Copies the CMS's secret settings into the tree; their content is shown nowhere, only their hash is recorded."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from govma_core.errors import UnsafeTreeError
from govma_core.fs import safefs, trees
from govma_core.fs.permissions import open_file
from govma_core.text.language import tr

_FOLDER = ("system", "user", "config")
_NAME = ".env"


def preflight(path: Path) -> list[str]:
    """Return a sentence when the env file cannot be used."""
    hint = tr("set GOV_MA_USER_ENV_FILE (the repository's data/system/user/config/.env.sample shows what goes in)")
    try:
        file, _ = open_file(path)
    except PermissionError:
        return [tr("env_file ({path}) cannot be read by this user. Run as root, or {hint}.", path=path, hint=hint)]
    except OSError as error:
        return [
            tr(
                "env_file ({path}) cannot be read: {strerror}. Create it, or {hint}.",
                path=path,
                strerror=error.strerror,
                hint=hint,
            )
        ]
    except UnsafeTreeError as error:
        return [
            tr(
                "env_file ({path}) cannot be used: {error} Put a file there, or {hint}.",
                path=path,
                error=error,
                hint=hint,
            )
        ]
    os.close(file)
    return []


def install(path: Path, data_fd: int) -> str:
    """Copy the env file to `system/user/config/.env` of the tree, with its permission bits; return its sha256."""
    file, info = open_file(path)
    with os.fdopen(file, "rb") as source, safefs.opened(data_fd, *_FOLDER, make=True) as folder:
        trees.remove(folder, _NAME)
        # Read once: the hash is of what the version has, whoever edits the file meanwhile.
        content = source.read()
        with os.fdopen(os.open(_NAME, safefs.CREATE_FLAGS, 0o600, dir_fd=folder), "wb") as target:
            target.write(content)
            os.fchmod(target.fileno(), stat.S_IMODE(info.st_mode) & 0o777)
    return hashlib.sha256(content).hexdigest()
