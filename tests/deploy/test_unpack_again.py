"""A tarball of which a record is kept: what the live version still has comes from there, the rest from the tarball."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import pytest

from govma_core.deploy import unpack as unpack_module
from govma_core.deploy.tarball import Tarball
from govma_core.deploy.unpack import Unpacked, unpack
from govma_core.disk.link_new_version import EarlierFiles
from govma_core.disk.verify import verify
from govma_core.errors import VendorError
from govma_core.fs import safefs
from govma_core.text.globs import globs
from govma_core.versions.contents import ContentsStore
from tests.support.rights import as_root
from tests.support.sites import Site
from tests.support.tarballs import gnu_tar, tree

LINKED = ("ee/core/app.php", "ee/large.bin", "ee/run.sh")
COPIED = ("ee/cache/page.html", "ee/empty")


@dataclass
class Live:
    """A live version that was made from a tarball, of which a record is kept."""

    root: Path

    @property
    def tarball(self) -> Path:
        return self.root / "ee.tar.gz"

    def path(self, name: str) -> Path:
        return self.root / "live/system" / name

    def unpack(self, name: str, *, not_linked: frozenset[int] = frozenset()) -> Unpacked:
        """Unpack the tarball into a new directory of that name beside the live version."""
        (self.root / name).mkdir()
        records = ContentsStore(self.root, "tarballs")
        with safefs.opened_root(self.root / name) as fd, safefs.opened_root(self.root / "live") as live:
            earlier = EarlierFiles(live, "system", globs(["system/ee/cache/**"]), not_linked)
            return unpack(self.tarball, fd, "ee", None, records, earlier)

    def is_link(self, name: str, into: str = "new") -> bool:
        path = self.path(name)
        return path.exists() and path.samefile(self.root / into / name)


@pytest.fixture
def live(tmp_path: Path) -> Live:
    ee = tmp_path / "in/ee"
    for folder in ("core", "cache", "nothing/in/it"):
        (ee / folder).mkdir(parents=True)
    (ee / "core/app.php").write_text("<?php // core")
    (ee / "cache/page.html").write_text("kept for itself")
    (ee / "run.sh").write_text("#!/bin/sh\n")
    (ee / "run.sh").chmod(0o755)
    (ee / "large.bin").write_bytes(os.urandom(600_000))
    (ee / "empty").touch()
    for path in ee.rglob("*"):
        os.utime(path, (1.5e9, 1.5e9))
    live = Live(tmp_path)
    gnu_tar(tmp_path / "in", live.tarball)
    (tmp_path / "live").mkdir()
    live.unpack("first")
    shutil.copytree(tmp_path / "first", tmp_path / "live/system")
    return live


@pytest.fixture
def no_reading(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Tarball) -> None:
        pytest.fail("The tarball is decompressed.")

    monkeypatch.setattr(Tarball, "__iter__", fail)


@pytest.mark.usefixtures("no_reading")
def test_what_the_live_version_has_is_not_unpacked_again(live: Live) -> None:
    again = live.unpack("new")
    assert tree(live.root / "new") == tree(live.root / "in")
    assert {name for name in again.files if live.is_link(name)} == set(LINKED)
    assert again.files.keys() == {*LINKED, *COPIED}


def write_over(path: Path, *, times: bool = False) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    if times:
        os.utime(path, (1.5e9, 1.5e9))


def replace(path: Path, make: Callable[[Path], object]) -> None:
    path.rename(path.with_name("aside"))
    make(path)


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": write_over,
    "content, and the time put back": partial(write_over, times=True),
    "size": lambda path: path.write_bytes(path.read_bytes() + b"more"),
    "mode": lambda path: path.chmod(0o606),
    "gone": lambda path: path.unlink(),
    "a directory": partial(replace, make=Path.mkdir),
    "a link": partial(replace, make=lambda path: path.symlink_to("aside")),
    "an attribute": lambda path: os.setxattr(path, "user.note", b"1"),
    "a FIFO": partial(replace, make=os.mkfifo),
}


@pytest.mark.parametrize("name", [*LINKED, "ee/cache/page.html"])
@pytest.mark.parametrize("change", CHANGES)
def test_what_was_changed_in_the_live_version_comes_from_the_tarball(live: Live, name: str, change: str) -> None:
    """Guards a deploy's promise that vendor files are the tarball's, whatever a CMS did to those of before."""
    CHANGES[change](live.path(name))
    live.unpack("new")
    assert tree(live.root / "new") == tree(live.root / "in")
    assert [each for each in LINKED if live.is_link(each)] == [each for each in LINKED if each != name]


@as_root
def test_a_file_of_another_owner_comes_from_the_tarball(live: Live) -> None:
    os.chown(live.path("ee/run.sh"), 33, 33)
    live.unpack("new")
    assert (live.root / "new/ee/run.sh").stat().st_uid == 0


@pytest.mark.usefixtures("no_reading")
def test_an_inode_that_must_stay_single_is_copied(live: Live) -> None:
    inode = live.path("ee/run.sh").stat().st_ino
    live.unpack("new", not_linked=frozenset([inode]))
    assert tree(live.root / "new") == tree(live.root / "in")
    assert not live.is_link("ee/run.sh")


def test_a_damaged_record_and_another_tarball_are_unpacked_whole(live: Live) -> None:
    (record,) = (live.root / "tarballs").iterdir()
    record.write_bytes(record.read_bytes()[:-9])
    live.unpack("new")
    assert tree(live.root / "new") == tree(live.root / "in")
    (live.root / "in/ee/core/app.php").write_text("<?php // fixed")
    gnu_tar(live.root / "in", live.tarball)
    live.unpack("newer")
    assert tree(live.root / "newer") == tree(live.root / "in")
    assert live.is_link("ee/run.sh", "newer")


def test_a_tarball_that_is_replaced_meanwhile_is_refused(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards a version against parts of two tarballs."""
    live.path("ee/run.sh").unlink()
    (live.root / "in/ee/core/app.php").write_text("<?php // fixed")
    other = gnu_tar(live.root / "in", live.root / "other.tar.gz").read_bytes()

    def replaced(path: Path, file: BinaryIO) -> Tarball:
        path.write_bytes(other)
        return Tarball(path, file)

    monkeypatch.setattr(unpack_module, "Tarball", replaced)
    with pytest.raises(VendorError, match=r"ee\.tar\.gz was replaced while it was unpacked\. Deploy again\."):
        live.unpack("new")


def test_the_next_version_is_whole_and_its_record_true(site: Site) -> None:
    """Guards `verify`: what is not read again is recorded as it is."""
    site.deploy()
    inside = site.current
    changed = next(path for path in sorted((inside / "system/ee").rglob("*.php")) if path.stat().st_size)
    original = changed.read_bytes()
    changed.write_bytes(b"?" * len(original))
    version = site.deploy().version
    assert (site.current / changed.relative_to(inside)).read_bytes() == original
    assert next(result for result in verify(site.context(), version=version)).changes == []
