"""A work dir, versions and a canary beside them, laid anew for each execution of a step that is raced."""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path

from govma_core.versions.store import VersionStore
from tests.support.canary import Canary
from tests.support.tarballs import member, packed

BUILD, WEB = (1000, 1000), (33, 33)
NAMES = (
    "html/uploads",
    "html/uploads/portal",
    "html/uploads/portal/logo.svg",
    "html/images",
    "html/inner.css",
    "html",
    "system",
    "system/user",
    "system/user/config",
    "system/user/config/.env",
    "system/user/templates",
    "system/user/templates/inner.css",
)
OLD, LIVE, NEW = (f"data-build--2022-01-0{day}-00h00m00s" for day in (1, 2, 3))
HIDDEN = tuple(f".govma-{what}-0123456789abcdef" for what in ("incoming", "staging", "removed"))
_VENDOR = 20
_SIZE = 300


class World:
    """`problems`: what went wrong so far. `other` is on another file system than the versions.

    With `private` it is looked for root's secrets only: the rest is where somebody may make second names of it.
    """

    def __init__(self, folder: Path, *, private: bool = False) -> None:
        self.root = folder.resolve() / "world"
        self.other = Path("/dev/shm") / f"govma-races-{os.getpid()}"
        self._private = private
        self.canary = Canary(folder / "canary")
        self.env = folder / "env"
        self.env.write_text("DB_PASSWORD=secret")
        folders = [member(name, tarfile.DIRTYPE, mode=0o755) for name in ("ee", "ee/legacy")]
        files = [member(f"ee/legacy/{number}", size=_SIZE) for number in range(_VENDOR)]
        self.tarball = packed(folder / "ee.tar.gz", *folders, *files)
        self.problems: list[str] = []
        self.refused = 0
        self.state = self.root / "state"

    @property
    def versions(self) -> Path:
        return self.root / "www_versions"

    @property
    def store(self) -> VersionStore:
        return VersionStore(self.versions)

    def make(self, *more: Path) -> None:
        """Lay it anew; `more` trees as they are in the work dir, or as a run leaves them among the versions."""
        self.remove()
        # A build has no second names for its files: with some, taking them over would be refused each time.
        make_tree(self.root / "work/data", BUILD)
        for name in (OLD, LIVE):
            make_tree(self.versions / name, WEB, twins=True)
        for tree in more:
            if not tree.exists():
                make_tree(tree, BUILD)
                os.chown(tree, 0, 0)
        (self.root / "work/node_modules").mkdir()
        (self.root / "work/node_modules/package").write_text("kept")
        os.rename(self.root / "work/node_modules", self.root / "kept")
        (self.root / "vendor/ee/legacy").mkdir(parents=True)
        (self.root / "vendor/ee/legacy/file").write_text("ee")
        (self.root / "uploads/portal").mkdir(parents=True)
        (self.root / "uploads/portal/kept").write_text("people's")
        (self.versions / "current-version").symlink_to(LIVE)
        self.state.mkdir()

    def remove(self) -> None:
        """Remove it, but for the canary."""
        for place in (self.root, self.other):
            shutil.rmtree(place, ignore_errors=True)

    def look(self, what: str) -> None:
        """Look for the canary's content, and so in what a step has for the time of it."""
        found = self.canary.found_in(self.root, private=self._private)
        self.problems += [f"{what}: read into {path}" for path in found]

    def path(self, name: str) -> Path:
        """Return the path of a name of the steps' table."""
        return self.other / name.removeprefix("OTHER/") if name.startswith("OTHER/") else self.root / name

    def bait(self, name: str) -> Path:
        """Return what a name is exchanged with a link to."""
        is_file = name.endswith((".svg", ".css", ".env"))
        return self.canary.root / ("build" if is_file else "build-folder")


def make_tree(tree: Path, owner: tuple[int, int], *, twins: bool = False) -> None:
    """Make what a version holds; with `twins` files that have second names, as thawing finds them."""
    for name in (*NAMES[2::3], *NAMES):
        path = tree / name
        if path.suffix or path.name == ".env":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"content of {name}" * 50)
        else:
            path.mkdir(parents=True, exist_ok=True)
    (tree / "system/ee/legacy").mkdir(parents=True)
    for number in range(_VENDOR):
        path = tree / f"system/user/templates/{number}.css"
        path.write_text(f"{number}" * 400)
        (tree / f"system/ee/legacy/{number}").write_bytes(bytes(_SIZE))
        if twins:
            os.link(path, path.with_suffix(".twin"))
    for path in (tree, *tree.rglob("*")):
        os.chown(path, *owner)
