"""What the tests of several checkouts share on one machine, and who begins and ends with it."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

LOCKS = Path("/var/tmp/govma-tests")
"""One place for all checkouts, as they share the machine and its engine."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes that do the same out for the block."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def shared(making: Path, using: Path, begin: Callable[[bool], None], end: Callable[[], None]) -> Iterator[None]:
    """Do `begin` before the block, and `end` after it in the last of several processes that are in it at once.

    Both are done with `making` locked; `begin` gets whether nobody else is in the block.
    """
    # Two locks: who comes later waits while something is made, and not for as long as others use it.
    with using.open("w") as users:
        with locked(making):
            begin(unused(users))
            fcntl.flock(users, fcntl.LOCK_SH)
        try:
            yield
        finally:
            with locked(making):
                if unused(users):
                    end()


def unused(users: IO[Any]) -> bool:
    """Tell whether no other process holds this lock; it is ours alone then."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
