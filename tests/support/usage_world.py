"""A few small versions that share files, changed step by step, and measured with a cache and without."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from govma_core.disk.usage import Usage, measure
from tests.support.du import assert_is_du

FILES = ("html/index.php", "html/a/style.css", "system/ee/core.php", "system/user/config/config.php", "system/b")

TICK = 0.012
"""Seconds: clocks of file systems tick 100 times a second or more."""
SETTLED_NS = 11_000_000
"""What stands in for usage.walk.SETTLED_NS, so that a test has to wait for one tick only."""


class World:
    """Versions, which one is live, and the cache."""

    def __init__(self, root: Path) -> None:
        self.directory, self.outside, self.cache = root / "www", root / "outside", root / "usage"
        self.directory.mkdir()
        self.outside.mkdir()
        self.names: list[str] = []
        self.current = ""
        self.made = 0

    def create(self, like: str | None = None) -> str:
        """Make a version, its files linked to another one's; live when it is the first."""
        self.made += 1
        name = f"v{self.made}"
        for number, file in enumerate(FILES):
            path = self.directory / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            master = self.directory / like / file if like else path
            if like and number and master.exists():
                path.hardlink_to(master)
            else:
                path.write_bytes(os.urandom(1 + 5000 * number))
        self.names.append(name)
        self.current = self.current or name
        return name

    def link(self, master: str, other: str, file: str) -> None:
        """Do as a dedupe does with one file."""
        source, target = self.directory / master / file, self.directory / other / file
        if source.exists() and target.parent.is_dir() and master != other:
            staged = self.directory / ".staged"
            staged.hardlink_to(source)
            staged.rename(target)
            staged.unlink(missing_ok=True)

    def grow(self, file: str, name: str | None = None) -> None:
        with (self.directory / (name or self.current) / file).open("ab") as written:
            written.write(b"x" * 9000)

    def unlink(self, name: str, file: str) -> None:
        (self.directory / name / file).unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        shutil.rmtree(self.directory / name)
        self.names.remove(name)

    def measure(self, *, rescan: bool = False, workers: int = 1) -> Usage:
        time.sleep(TICK)
        return measure(
            self.directory,
            self.names,
            current=self.current,
            cache_dir=self.cache,
            rescan=rescan,
            workers=workers,
        )

    def fresh(self) -> Usage:
        return measure(self.directory, self.names, current=self.current, cache_dir=None, workers=1)

    def check(self, workers: int = 1) -> Usage:
        """Measure, and hold it against a measurement without the cache and against du."""
        cached, fresh = self.measure(workers=workers), self.fresh()
        assert numbers(cached) == numbers(fresh)
        for count in range(len(self.names) + 1):
            assert cached.freed_by(self.names[:count]) == fresh.freed_by(self.names[:count])
            assert cached.freed_by(self.names[count:]) == fresh.freed_by(self.names[count:])
        assert_is_du(cached, self.directory)
        return cached


def numbers(usage: Usage) -> tuple[object, ...]:
    return usage.versions, usage.real, usage.others, usage.unlinked, usage.unread
