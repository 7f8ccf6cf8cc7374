"""Watches the directories of a site for entries that are made, removed or renamed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

_STEP_SECONDS = 0.25
Stamps = dict[Path, tuple[int, int]]


class Watcher(threading.Thread):
    """Calls `changed` (in this thread) when an entry of one of the directories was made, removed or renamed.

    It compares the time stamps of the directories four times a second. That sees as much as the notifications of the
    kernel would, costs less than a thousandth of a core, and a directory that is missing or was replaced is nothing
    special.
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
        # The first look counts as a change: what was changed before it would not be reported.
        before: Stamps = {}
        is_settling = True
        while not self._stopping.wait(_STEP_SECONDS):
            now = self._stamps()
            if now != before or is_settling:
                self._changed()
            # Once more after each change: a second one within the same tick of the clock has the same time stamp, and a
            # new directory may still be empty.
            is_settling, before = now != before, now

    def _stamps(self) -> Stamps:
        stamps = {}
        for path in self._directories:
            try:
                info = path.stat()
            except OSError:
                continue
            stamps[path] = info.st_mtime_ns, info.st_ino
        return stamps
