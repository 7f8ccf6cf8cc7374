"""Vendor tarballs for tests: made header by header or by tar, and unpacked where a change beside is seen."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from govma_core.deploy import unpack as unpacking
from govma_core.fs import safefs
from govma_core.versions.contents import ContentsStore

Tree = dict[str, tuple[int, int, bytes]]


@contextmanager
def guarded_place(tmp_path: Path) -> Iterator[Path]:
    """Yield an empty directory to unpack into, and see that nothing beside it changes and nothing stays open."""
    place = tmp_path / "outer/place"
    place.mkdir(parents=True, mode=0o700)
    canary = tmp_path / "outer/canary"
    canary.write_text("alive")
    before, threads = set(os.listdir("/proc/self/fd")), threading.active_count()
    yield place
    assert sorted(os.listdir(tmp_path / "outer")) == ["canary", "place"]
    assert canary.read_text() == "alive"
    assert canary.stat().st_nlink == 1
    assert len(os.listdir("/proc/self/fd")) == len(before)
    assert threading.active_count() == threads


def unpack(path: Path, place: Path, owner: tuple[int, int] | None = None) -> unpacking.Unpacked:
    with safefs.opened_root(place) as fd:
        return unpacking.unpack(path, fd, "ee", owner, ContentsStore(path.parent, "tarballs"))


def packed(path: Path, *members: tarfile.TarInfo, fmt: int = tarfile.GNU_FORMAT) -> Path:
    """Make a tarball of headers, each with as many bytes of content as it declares."""
    with tarfile.open(path, "w:gz", format=fmt, compresslevel=1) as archive:
        for info in members:
            archive.addfile(info, io.BytesIO(bytes(info.size)) if info.isreg() else None)
    return path


def member(
    name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, link: str = "", mode: int = 0o644
) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname, info.mode = kind, size, link, mode
    return info


def gnu_tar(tmp: Path, path: Path, *options: str, what: str = "ee") -> Path:
    subprocess.run(["tar", "-czf", path, "-C", tmp, *options, what], check=True, capture_output=True)
    return path


def tree(root: Path) -> Tree:
    entries: Tree = {}
    for directory, _, files in os.walk(root):
        for name in files:
            path = os.path.join(directory, name)
            info = os.lstat(path)
            with open(path, "rb") as file:
                entries[os.path.relpath(path, root)] = stat.S_IMODE(info.st_mode), int(info.st_mtime), file.read()
        entries[os.path.relpath(directory, root) + "/"] = stat.S_IMODE(os.lstat(directory).st_mode), 0, b""
    del entries["./"]
    return entries
