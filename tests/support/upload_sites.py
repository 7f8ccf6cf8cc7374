"""A version and a persistent directory for tests of uploads, with something outside that must not change."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from govma_core.deploy import uploads
from govma_core.events import Event, LogLine
from govma_core.fs import safefs
from govma_core.reporting import Cancellation, Reporter


class Site:
    """A version's html/ with uploads in it, the persistent directory, and what a synchronisation said."""

    def __init__(self, root: Path) -> None:
        self.html, self.target, self.kept = root / "html", root / "persistent", root / "state/replaced/run/uploads"
        self.tree = self.html / "uploads"
        self.outside = root / "outside"
        for path in (self.tree, self.target, self.outside):
            path.mkdir(parents=True)
        (self.outside / "canary").write_text("alive")
        self.log: list[str] = []

    def run(
        self,
        policy: str = "keep",
        owner: tuple[int, int] | None = None,
        cancellation: Cancellation | None = None,
        kept: Path | None = None,
    ) -> uploads.UploadsResult:
        self.log.clear()
        with safefs.opened_root(self.html) as html:
            return uploads.synchronise(
                html,
                "uploads",
                self.target,
                policy=policy,
                kept_dir=kept or self.kept,
                owner=owner,
                reporter=Reporter(self._hear, cancellation),
            )

    def _hear(self, event: Event) -> None:
        if isinstance(event, LogLine):
            self.log.append(event.text)

    def said(self, *words: str) -> bool:
        return any(all(word in line for word in words) for line in self.log)

    def both(self, name: str, ours: str, theirs: str, *, same_time: bool = False) -> None:
        """Have a file on both sides, the repository's `ours` and the persistent `theirs`."""
        for path, content, when in ((self.tree / name, ours, 1e9), (self.target / name, theirs, 1.1e9)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
            os.utime(path, (1e9, 1e9) if same_time else (when, when))


@contextmanager
def guarded_site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    yield site
    assert len(os.listdir("/proc/self/fd")) == before
    assert os.listdir(site.outside) == ["canary"]
    canary = site.outside / "canary"
    assert (canary.read_text(), canary.stat().st_nlink) == ("alive", 1)
    leftovers = [path for path in site.target.rglob(".govma-*") if not path.is_dir()]
    assert leftovers == []


def content(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if stat.S_ISREG(path.lstat().st_mode)
    }


def picture(root: Path) -> dict[str, tuple[int, int, int, str]]:
    entries = {}
    for directory, folders, files in os.walk(root):
        for name in [*folders, *files]:
            path = Path(directory, name)
            info = path.lstat()
            text = path.read_text() if stat.S_ISREG(info.st_mode) else ""
            entries[str(path.relative_to(root))] = info.st_ino, info.st_mode, info.st_uid, text
    return entries
