"""Version 2 of compose: the machine's own, else the one that Debian 13 has, kept beside the images of tests."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

from govma_core.services.programs import look
from tests.support import debian13


def compose_2(directory: Path) -> Path:
    """Return a directory, made in this one, with nothing but `docker-compose` of version 2 in it, for PATH.

    Raises ImageUnavailableError where there is none to be had.
    """
    own = shutil.which("docker-compose")
    target = directory / "docker-compose"
    if own and look(own).version[:2] not in ("", "1."):
        target.symlink_to(own)
        return directory
    with tarfile.open(debian13.tarball()) as tar:
        member = tar.extractfile("docker-compose")
        assert member is not None
        with target.open("wb") as file:
            shutil.copyfileobj(member, file)
    target.chmod(0o755)
    return directory
