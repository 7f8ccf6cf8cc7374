"""Copies the CMS's secret settings into versions; their content is shown nowhere, only their hash is recorded."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from govma_core.errors import UnsafeTreeError
from govma_core.fs import safefs, trees
from govma_core.fs.permissions import open_file, sha256_of
from govma_core.text.language import tr
from govma_core.versions.manifest import Manifest

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
    content, mode = _read(path)
    with safefs.opened(data_fd, *_FOLDER, make=True) as folder:
        trees.remove(folder, _NAME)
        _write(content, mode, folder, None)
    return hashlib.sha256(content).hexdigest()


def renew(path: Path, version_fd: int, staging_fd: int, owner: tuple[int, int] | None) -> str:
    """Put the env file in the place of that of a published version, in one rename, and return its sha256.

    It is made in `staging_fd`, a private directory on the same file system. Other versions may share the former file.
    """
    content, mode = _read(path)
    with safefs.opened(version_fd, *_FOLDER) as folder:
        _write(content, mode, staging_fd, owner)
        os.rename(_NAME, _NAME, src_dir_fd=staging_fd, dst_dir_fd=folder)
        os.fsync(folder)
    return hashlib.sha256(content).hexdigest()


def difference(manifest: Manifest | None, path: Path) -> str:
    """Say when a version was made with another env file than the present one; '' also when one is not known."""
    present = sha256_of(path)
    if manifest is None or not manifest.env_sha256 or present in ("", manifest.env_sha256):
        return ""
    return tr(
        "{name} was made with another env_file (sha256 {former}) than the present one ({present}).",
        name=manifest.version,
        former=manifest.env_sha256[:12],
        present=present[:12],
    )


def _read(path: Path) -> tuple[bytes, int]:
    """Return the content, read once: the hash is of what a version has, whoever edits the file; and the mode.

    Other users than its owner and group lose the right to write.
    """
    file, info = open_file(path)
    with os.fdopen(file, "rb") as source:
        return source.read(), stat.S_IMODE(info.st_mode) & 0o775


def _write(content: bytes, mode: int, folder_fd: int, owner: tuple[int, int] | None) -> None:
    with os.fdopen(os.open(_NAME, safefs.CREATE_FLAGS, 0o600, dir_fd=folder_fd), "wb") as target:
        target.write(content)
        if owner is not None:
            os.fchown(target.fileno(), *owner)
        os.fchmod(target.fileno(), mode)
        target.flush()
        os.fsync(target.fileno())
