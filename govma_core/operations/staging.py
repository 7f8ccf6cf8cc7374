"""A private directory beside the versions, on their file system and out of every document root."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from govma_core import safefs
from govma_core.clearing import clear_opened, make_marked
from govma_core.versions.names import STAGING_PREFIX


@contextmanager
def staging(versions_fd: int) -> Iterator[Callable[[], int]]:
    """Yield what gives the directory, which is made when it is first asked for and gone after the block.

    A run that is killed leaves it to the next one's sweep.
    """
    name = safefs.random_name(STAGING_PREFIX)
    made: list[int] = []

    def place() -> int:
        if not made:
            made.append(make_marked(versions_fd, name))
        return made[0]

    try:
        yield place
    finally:
        for fd in made:
            # What resists is named by the next sweep.
            clear_opened(versions_fd, name, fd)
            os.close(fd)
