"""Watches the directories of a site for entries that are made, removed or renamed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

# Milliseconds: the quiet time after which changes are reported, and the longest wait for it.
_STEP = 150
_DEBOUNCE = 500
_LOOK_AGAIN = 700
# Seconds: from one look to the next where nothing can be watched.
_WITHOUT_WATCH = 1.0


class Watcher(threading.Thread):
    """Calls `changed` (in this thread) after something in one of the directories was made, removed or renamed.

    Changes are gathered for a fraction of a second. A directory that is missing or was replaced is found within a
    second.
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
        before: dict[Path, int] | None = None
        while not self._stopping.is_set():
            there = self._there()
            if before is not None and there != before:
                self._changed()
            before = there
            if not there:
                self._stopping.wait(_WITHOUT_WATCH)
                continue
            try:
                self._watch(there)
            except Exception:
                # Mostly the kernel has no watch left for this user.
                self._stopping.wait(_WITHOUT_WATCH)
                self._changed()

    def _watch(self, there: dict[Path, int]) -> None:
        # Imported here: it costs as much as a tenth of the start of the app.
        from watchfiles import watch

        # Changes before the watch began are not reported: its first answer, even an empty one, counts as a change.
        begun = False
        for changes in watch(
            *there,
            watch_filter=None,
            debounce=_DEBOUNCE,
            step=_STEP,
            rust_timeout=_LOOK_AGAIN,
            yield_on_timeout=True,
            stop_event=self._stopping,
            recursive=False,
            raise_interrupt=False,
            ignore_permission_denied=True,
        ):
            if changes or not begun:
                begun = True
                self._changed()
            if self._there() != there:
                return

    def _there(self) -> dict[Path, int]:
        directories = {}
        for path in self._directories:
            try:
                if path.is_dir() and os.access(path, os.R_OK):
                    directories[path] = path.stat().st_ino
            except OSError:
                continue
        return directories
