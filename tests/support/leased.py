"""A file that somebody holds to himself for writing, as the web server's user can with each of his own."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from govma_core.fs import leases


@contextmanager
def leased(path: Path) -> Iterator[None]:
    """Hold a write lease on the file: who opens it must wait, or hears EAGAIN."""
    leases.ignore_breaks()
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        yield
    finally:
        os.close(fd)
