"""What dedupe leaves as it is: files that differ in anything but times, and those it cannot or must not replace."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from govma_core.disk import dedupe
from govma_core.disk.compare import Inode, LeftAloneError, OpenFile, Tally
from govma_core.disk.hard_links import HardLinks
from govma_core.fs import safefs
from govma_core.fs.walk import Directories
from govma_core.versions.store import staging
from tests.support.leased import leased
from tests.support.mounts import small_file_system
from tests.support.pictures import identities, picture
from tests.support.releases import NAMES, Releases
from tests.support.rights import as_root

PAGE, OTHER = "html/page.php", "html/other.php"
CONTENT = b"<?php echo 1;\n" * 100


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    """Return three versions with two files each, equal in all; the newest is live."""
    made = Releases(tmp_path / "site")
    for number, name in enumerate(NAMES[:3]):
        (made.directory / name / "system").mkdir(parents=True)
        for path in (PAGE, OTHER):
            file = made.directory / name / path
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(CONTENT + path.encode())
            os.utime(file, (1_600_000_000 + number, 1_600_000_000 + number))
    made.live(NAMES[2])
    return made


def run(releases: Releases, **options: Any) -> dict[str, Any]:
    return dict(dedupe.run(releases.context(), **options).details)


def at(releases: Releases, version: int, path: str = PAGE) -> Path:
    return releases.directory / NAMES[version] / path


def inode(releases: Releases, version: int, path: str = PAGE) -> int:
    return at(releases, version, path).lstat().st_ino


def named(version: int, path: str = PAGE) -> str:
    return f"{NAMES[version]}/{path}"


def test_a_file_that_its_owner_holds_for_writing_is_left_alone(releases: Releases) -> None:
    before = inode(releases, 0)
    with leased(at(releases, 0)):
        details = run(releases)
    assert details["left"]["being written"] == {"count": 1, "names": [named(0)]}
    assert inode(releases, 0) == before
    assert inode(releases, 1) == inode(releases, 2)


def _append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x")


def _change_in_the_middle(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(700)
        file.write(b"!")


@pytest.mark.parametrize(
    "differ",
    [
        pytest.param(lambda path: path.chmod(0o600), id="mode"),
        pytest.param(lambda path: path.chmod(0o4644), id="set-user-id"),
        pytest.param(lambda path: os.chown(path, 1000, -1), id="owner", marks=as_root),
        pytest.param(lambda path: os.chown(path, -1, 1000), id="group", marks=as_root),
        pytest.param(lambda path: os.setxattr(path, "user.note", b"1"), id="attribute"),
        pytest.param(lambda path: os.setxattr(path, "trusted.note", b"1"), id="trusted attribute", marks=as_root),
        pytest.param(_append, id="size"),
        pytest.param(_change_in_the_middle, id="content"),
    ],
)
@pytest.mark.parametrize("version", [0, 2])
def test_a_difference_keeps_files_apart(releases: Releases, differ: Callable[[Path], None], version: int) -> None:
    differ(at(releases, version))
    before = picture(releases.directory)
    assert run(releases)["linked"] == 3
    assert picture(releases.directory) == before
    different = inode(releases, version)
    same = {inode(releases, other) for other in range(3) if other != version}
    assert len(same) == 1
    assert different not in same


def test_two_attributes_that_differ_keep_files_apart(releases: Releases) -> None:
    for version in range(3):
        os.setxattr(at(releases, version), "user.note", b"1" if version else b"2")
    assert run(releases)["linked"] == 3
    assert inode(releases, 0) != inode(releases, 1) == inode(releases, 2)


def test_times_do_not_keep_files_apart(releases: Releases) -> None:
    live = at(releases, 2).stat()
    assert run(releases)["linked"] == 4
    assert at(releases, 0).samefile(at(releases, 2))
    assert at(releases, 0).stat().st_mtime_ns == live.st_mtime_ns


@as_root
@pytest.mark.parametrize("version", [0, 2])
@pytest.mark.parametrize("flag", ["i", "a"])
def test_what_may_not_be_changed_is_left_alone_and_named(releases: Releases, version: int, flag: str) -> None:
    subprocess.run(["chattr", f"+{flag}", at(releases, version)], check=True)
    try:
        before = identities(releases.directory)
        result = run(releases)
    finally:
        subprocess.run(["chattr", f"-{flag}", at(releases, version)], check=True)
    assert inode(releases, version) == before[os.fsencode(named(version))].inode
    # The other two share one inode, which is not the immutable one.
    assert len({inode(releases, other) for other in range(3) if other != version}) == 1
    assert at(releases, version).stat().st_nlink == 1
    assert len({inode(releases, other, OTHER) for other in range(3)}) == 1
    assert result["left"] == {"immutable": {"count": 1, "names": [named(version)]}}


@pytest.mark.parametrize("version", [0, 2])
def test_what_is_open_for_writing_is_left_alone_and_named(releases: Releases, version: int) -> None:
    before = identities(releases.directory)
    with at(releases, version).open("r+b") as file:
        result = run(releases)
        file.write(b"written")
    assert inode(releases, version) == before[os.fsencode(named(version))].inode
    assert at(releases, version).stat().st_nlink == 1
    assert at(releases, version).read_bytes().startswith(b"written")
    assert result["left"] == {"being written": {"count": 1, "names": [named(version)]}}
    assert result["linked"] == 3


@pytest.fixture
def mounted(releases: Releases) -> Iterator[Releases]:
    """Have a file system of its own inside the oldest version, with the same files."""
    place = at(releases, 0, "html")
    with small_file_system(place, "1m"):
        for path in (PAGE, OTHER):
            at(releases, 0, path).write_bytes(at(releases, 1, path).read_bytes())
            at(releases, 0, path).chmod(0o644)
        yield releases


@as_root
def test_what_is_mounted_inside_is_left_alone_and_named(mounted: Releases) -> None:
    before = picture(mounted.directory)
    result = run(mounted)
    assert picture(mounted.directory) == before
    assert result["linked"] == 2
    assert result["left"]["on another file system"]["count"] >= 1
    assert all(name.startswith(f"{NAMES[0]}/html") for name in result["left"]["on another file system"]["names"])


def test_special_files_are_left_alone_and_named(releases: Releases) -> None:
    os.mkfifo(at(releases, 0, "html/fifo"))
    os.mknod(at(releases, 1, "html/socket"), stat.S_IFSOCK | 0o600)
    result = run(releases)
    assert result["left"]["special"]["count"] == 2
    assert sorted(result["left"]["special"]["names"]) == [named(0, "html/fifo"), named(1, "html/socket")]
    assert stat.S_ISFIFO(at(releases, 0, "html/fifo").lstat().st_mode)


def test_sparse_files_are_left_alone_and_named(releases: Releases) -> None:
    for version in range(3):
        with at(releases, version, "html/sparse").open("wb") as file:
            file.write(CONTENT)
            file.truncate(1 << 20)
    before = identities(releases.directory)
    result = run(releases)
    assert {inode(releases, v, "html/sparse") for v in range(3)} == {
        before[os.fsencode(named(v, "html/sparse"))].inode for v in range(3)
    }
    assert result["left"]["sparse"]["count"] == 3
    assert sorted(result["left"]["sparse"]["names"]) == [named(v, "html/sparse") for v in range(3)]


def test_empty_files_are_nothing_to_link(releases: Releases) -> None:
    for version in range(3):
        at(releases, version, "html/empty").touch()
    assert run(releases)["linked"] == 4
    assert len({inode(releases, version, "html/empty") for version in range(3)}) == 3


def test_more_names_than_are_told_are_counted(releases: Releases) -> None:
    for number in range(45):
        os.mkfifo(at(releases, 0, f"html/fifo{number}"))
    left = run(releases)["left"]["special"]
    assert left["count"] == 45
    assert 1 <= len(set(left["names"])) < 45


def test_a_name_that_is_a_file_here_and_a_directory_there(releases: Releases) -> None:
    for version in (0, 1):
        at(releases, version, "html/thing").write_bytes(CONTENT)
    at(releases, 2, "html/thing").mkdir()
    at(releases, 2, "html/thing/page.php").write_bytes(CONTENT)
    before = picture(releases.directory)
    assert run(releases)["linked"] == 5
    assert picture(releases.directory) == before


def test_at_the_limit_of_links_a_new_inode_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    releases = Releases(tmp_path / "site")
    names, link = NAMES[:8], os.link
    for name in names:
        (releases.directory / name / "html").mkdir(parents=True)
        at(releases, NAMES.index(name)).write_bytes(CONTENT)
    releases.live(names[7])

    def link_up_to_three(source: str, target: str, **options: Any) -> None:
        if os.stat(source).st_nlink >= 3:
            raise OSError(errno.EMLINK, os.strerror(errno.EMLINK))
        link(source, target, **options)

    monkeypatch.setattr(os, "link", link_up_to_three)
    live = inode(releases, 7)
    assert run(releases)["linked"] == 5
    links = {at(releases, version).stat().st_ino: at(releases, version).stat().st_nlink for version in range(8)}
    assert sorted(links.values()) == [2, 3, 3]
    assert inode(releases, 7) == live
    assert all(at(releases, version).read_bytes() == CONTENT for version in range(8))
    assert run(releases)["linked"] == 0
    assert sorted(os.listdir(releases.directory)) == sorted([*names, "current-version"])


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda path: path.chmod(0o600), id="mode"),
        pytest.param(lambda path: os.chown(path, 1000, 1000), id="owner", marks=as_root),
        pytest.param(lambda path: os.setxattr(path, "user.note", b"1"), id="attribute"),
    ],
)
def test_a_change_of_rights_after_the_comparison_is_not_lost(
    releases: Releases, change: Callable[[Path], None], tmp_path: Path
) -> None:
    """Only the file's own names are replaced; what an operator sets on one of them meanwhile stays."""
    with ExitStack() as stack:
        versions = stack.enter_context(safefs.opened_root(releases.directory))
        roots = [stack.enter_context(safefs.opened(versions, name)) for name in NAMES[:2]]
        place = stack.enter_context(staging(versions))()
        directories = Directories(roots)
        stack.callback(directories.close)
        inodes = [Inode(at(releases, v).stat(), [(v, "html", "page.php")], fixed=False) for v in (0, 1)]
        master, file = (OpenFile(directories, inode) for inode in inodes)
        stack.callback(master.close)
        stack.callback(file.close)
        assert master.equals(file)
        change(at(releases, 1))
        before = picture(releases.directory / NAMES[1])
        sharing = HardLinks(directories, NAMES[:2], place)
        tally = Tally()
        with pytest.raises(LeftAloneError, match="changed meanwhile"):
            sharing.share(inodes[1], file, master, tally)
        sharing.finish(tally)
        assert picture(releases.directory / NAMES[1]) == before
