"""Shared extents on real XFS and btrfs: space comes free, inodes and times stay, a write stays in its file."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from govma_core.disk import dedupe, link_new_version
from govma_core.errors import RefusedError
from tests.support.mounts import file_system_in_a_file, small_file_system
from tests.support.rights import as_root
from tests.support.sites import Site, make_site

pytestmark = as_root


@pytest.fixture(params=["xfs", "btrfs"])
def mounted(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    if shutil.which(f"mkfs.{request.param}") is None:
        pytest.skip(f"mkfs.{request.param} is not installed")
    with file_system_in_a_file(tmp_path / "mounted", request.param, 400):
        yield tmp_path / "mounted"


def two_versions(site: Site, place: Path) -> tuple[Path, Path]:
    """Return an older and the live version, whose files are equal and each have blocks of their own."""
    site.flags["versions_dir"] = str(place)
    names = ("data-build--2024-01-01-10h00m00s", "data-build--2024-01-02-10h00m00s")
    for number, name in enumerate(names):
        for part, size in (("html/big.bin", 300_000), ("html/page.php", 9_000), ("system/tiny.php", 20)):
            path = place / name / part
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes((part.encode() * size)[:size])
            os.utime(path, (1_000_000 + number, 1_000_000 + number))
    (place / "current-version").symlink_to(names[1])
    os.sync()
    return place / names[0], place / names[1]


def test_extents_are_shared_once(mounted: Path, tmp_path: Path) -> None:
    site = make_site(tmp_path / "site", files=10)
    older, live = two_versions(site, mounted)
    before = {path: path.stat() for path in (*older.rglob("*.*"), *live.rglob("*.*"))}
    result = dedupe.run(site.context(), reflink="auto").details
    # A tiny file may lie in its inode, where there is nothing to share.
    assert result["linked"] in (2, 3)
    assert result["freed"] >= 308 * 1024
    assert result["left"] == {}
    for path, then in before.items():
        now = path.stat()
        assert (now.st_ino, now.st_nlink, now.st_mtime_ns) == (then.st_ino, 1, then.st_mtime_ns)
    assert dedupe.run(site.context(), reflink="always").details["linked"] == 0
    with (live / "html/big.bin").open("r+b") as file:
        file.write(b"live only")
    assert not (older / "html/big.bin").read_bytes().startswith(b"live only")
    assert dedupe.run(site.context(), reflink="auto").details["linked"] == 0


def test_never_makes_links_there_too(mounted: Path, tmp_path: Path) -> None:
    site = make_site(tmp_path / "site", files=10)
    older, live = two_versions(site, mounted)
    assert dedupe.run(site.context(), reflink="never").details["linked"] == 3
    assert (older / "html/page.php").samefile(live / "html/page.php")


def test_always_is_refused_where_it_cannot_be(tmp_path: Path) -> None:
    site = make_site(tmp_path / "site", files=10)
    place = tmp_path / "tmpfs"
    with small_file_system(place, "16m"):
        two_versions(site, place)
        with pytest.raises(RefusedError, match="does not share extents"):
            dedupe.run(site.context(), reflink="always")
        assert [name for name in os.listdir(place) if name.startswith(".")] == []


def test_a_new_version_shares_blocks_when_it_is_published(mounted: Path, tmp_path: Path) -> None:
    site = make_site(tmp_path / "site", files=10)
    older, live = two_versions(site, mounted)
    tree = mounted / "tree"
    shutil.copytree(live, tree)
    for path in tree.rglob("*.*"):
        path.write_bytes(path.read_bytes())
    os.sync()
    before = shutil.disk_usage(mounted).free
    fd = os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
    links = link_new_version.link_to_earlier(site.context(), "data-build--2024-01-03-10h00m00s", fd)
    os.close(fd)
    os.sync()
    assert links.files == 3
    assert "share blocks with identical ones" in site.log()
    assert shutil.disk_usage(mounted).free - before >= 300_000
    assert all(path.stat().st_nlink == 1 for path in (*tree.rglob("*.*"), *live.rglob("*.*"), *older.rglob("*.*")))
