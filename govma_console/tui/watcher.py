"""Watches the directories of a site for entries that are made, removed or renamed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

_SECONDS = 0.5
"""From one look to the next: a few calls of stat, which cost less than a watch by the kernel with its library."""


class Watcher(threading.Thread):
    """Calls `changed` (in this thread) when one of the directories was changed, made, removed or replaced.

    The first look counts as a change: what happened before it is not known.
    """

    def __init__(self, directories: Sequence[Path], changed: Callable[[], None]) -> None:
        super().__init__(name="watch", daemon=True)
        self._directories = directories
        self._changed = changed
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End the thread soon; it need not be waited for."""
        self._stopping.set()

    def run(self) -> None:
        """Watch until stop() is called."""
        before: list[tuple[int, int]] | None = None
        while not self._stopping.wait(_SECONDS):
            stamps = [_stamp(path) for path in self._directories]
            if stamps != before:
                before = stamps
                self._changed()


def _stamp(directory: Path) -> tuple[int, int]:
    """Return the inode of a directory and when its entries changed (nanoseconds); zeros when it cannot be reached."""
    try:
        info = directory.stat()
    except OSError:
        return 0, 0
    return info.st_ino, info.st_mtime_ns
