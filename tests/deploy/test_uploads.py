"""The repository's uploads meet those of people: what is copied, what is left alone, and what is never followed."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from govma_core.deploy import upload_files, uploads
from govma_core.errors import UnsafeTreeError
from govma_core.fs import safefs
from tests.support.rights import as_root
from tests.support.sites import make_site
from tests.support.upload_sites import Site, content, guarded_site

WEB = (33, 33)


@pytest.fixture(name="site")
def _site(tmp_path: Path) -> Iterator[Site]:
    with guarded_site(tmp_path) as site:
        yield site


def test_new_files_and_folders_come_with_mode_and_times(site: Site) -> None:
    folder = site.tree / "subsite/pics"
    folder.mkdir(parents=True, mode=0o750)
    (folder / "a.png").write_text("png")
    (folder / "a.png").chmod(0o6640)
    (site.tree / "empty").mkdir()
    for path in (folder / "a.png", folder, site.tree / "subsite"):
        os.utime(path, ns=(1, 1_500_000_000_123_456_789))
    before = site.target.stat()
    result = site.run()
    assert result == uploads.UploadsResult(new_files=1, new_dirs=3)
    copy = site.target / "subsite/pics"
    assert (copy / "a.png").read_text() == "png"
    assert stat.S_IMODE((copy / "a.png").stat().st_mode) == 0o640
    assert stat.S_IMODE(copy.stat().st_mode) == 0o750
    times = {path.stat().st_mtime_ns for path in (copy, copy / "a.png", copy.parent)}
    assert times == {1_500_000_000_123_456_789}
    assert site.target.stat().st_mode == before.st_mode
    assert site.run() == uploads.UploadsResult()


def test_existing_folders_are_left_as_they_are(site: Site) -> None:
    (site.tree / "pics").mkdir(mode=0o777)
    (site.target / "pics").mkdir(mode=0o2770)
    (site.target / "pics").chmod(0o2770)
    os.utime(site.target / "pics", (5, 5))
    site.run()
    info = (site.target / "pics").stat()
    assert (stat.S_IMODE(info.st_mode), info.st_mtime) == (0o2770, 5)


@as_root
@pytest.mark.root
def test_what_is_new_is_the_web_servers_and_nothing_else_is(site: Site) -> None:
    (site.tree / "new").mkdir()
    (site.tree / "new/file").touch()
    site.both("old/file", "1", "22")
    os.chown(site.target / "old/file", 1234, 1234)
    site.run(owner=WEB)
    owners = {str(p.relative_to(site.target)): (p.stat().st_uid, p.stat().st_gid) for p in site.target.rglob("*")}
    assert owners == {"new": WEB, "new/file": WEB, "old": (0, 0), "old/file": (1234, 1234)}


def test_a_file_that_people_replaced_is_kept_and_named(site: Site) -> None:
    site.both("logo.png", "repository", "people's")
    site.both("same-size.png", "123", "456")
    site.both("same-time.png", "123", "4567", same_time=True)
    result = site.run()
    assert result == uploads.UploadsResult(left_alone=3)
    assert content(site.target) == {"logo.png": "people's", "same-size.png": "456", "same-time.png": "4567"}
    assert site.said("'logo.png'", "other content", str(site.target))
    assert site.said("'same-size.png'")
    assert not site.kept.exists()


def test_a_deleted_file_that_comes_back_is_named(tmp_path: Path) -> None:
    """Guards against a file that a person removed for good reasons, and each deploy brings back in silence."""
    site = make_site(tmp_path / "site")
    uploaded = {f"data/html/uploads/{name}": name for name in ("portal/secret ç.pdf", "portal/other.pdf", "top.pdf")}
    site.sample.commit(uploaded, "Anexa")
    site.deploy()
    assert "was deleted from" not in site.log()
    for name in ("portal/secret ç.pdf", "top.pdf"):
        (site.settings.upload_dir / name).unlink()
    site.sample.commit({"data/html/uploads/portal/new.pdf": "new"}, "Anexa mais um")
    site.deploy()
    lines = [line for line in site.log("warning").splitlines() if "was deleted from" in line]
    assert len(lines) == 2
    assert all(str(site.settings.upload_dir) in line for line in lines)
    assert any("'portal/secret ç.pdf'" in line for line in lines)
    assert any("'top.pdf'" in line for line in lines)
    assert (site.settings.upload_dir / "top.pdf").exists()


@pytest.mark.parametrize("policy", ["keep", "overwrite"])
def test_equal_files_are_no_news(site: Site, policy: str) -> None:
    site.both("same", "123", "123")
    site.both("taken-as-equal", "123", "456", same_time=True)
    assert site.run(policy) == uploads.UploadsResult()
    assert (site.target / "same").stat().st_mtime == 1.1e9
    assert content(site.target) == {"same": "123", "taken-as-equal": "456"}
    assert site.log == []


def test_overwrite_keeps_what_it_replaces(site: Site) -> None:
    site.both("a/b/logo.png", "repository", "people's")
    inode = (site.target / "a/b/logo.png").stat().st_ino
    result = site.run("overwrite")
    assert result == uploads.UploadsResult(replaced=1)
    assert content(site.target) == {"a/b/logo.png": "repository"}
    assert (site.target / "a/b/logo.png").stat().st_mtime == 1e9
    assert content(site.kept) == {"a/b/logo.png": "people's"}
    assert (site.kept / "a/b/logo.png").stat().st_ino == inode
    assert stat.S_IMODE(site.kept.stat().st_mode) == 0o700
    assert site.said("'a/b/logo.png'", "replaced")
    assert site.said(str(site.kept))
    site.both("a/b/logo.png", "repository 2", "people's 2")
    site.run("overwrite")
    assert sorted(content(site.kept).values()) == ["people's", "people's 2"]


def test_overwrite_copies_to_another_file_system(site: Site) -> None:
    shm = Path("/dev/shm")
    if not shm.is_dir() or shm.stat().st_dev == site.target.stat().st_dev:
        pytest.skip("needs a second file system at /dev/shm")
    with tempfile.TemporaryDirectory(dir=shm) as shared_memory:
        site.both("a/logo.png", "repository", "people's")
        (site.target / "a/logo.png").chmod(0o640)
        if os.geteuid() == 0:
            os.chown(site.target / "a/logo.png", 1234, 33)
        before = (site.target / "a/logo.png").stat()
        site.run("overwrite", kept=Path(shared_memory, "x/y"))
        after = Path(shared_memory, "x/y/a/logo.png").stat()
        assert content(Path(shared_memory, "x/y")) == {"a/logo.png": "people's"}
        assert (after.st_mode, after.st_uid, after.st_gid, after.st_mtime_ns) == (
            before.st_mode,
            before.st_uid,
            before.st_gid,
            before.st_mtime_ns,
        )


@pytest.mark.parametrize("policy", ["keep", "overwrite"])
def test_nothing_on_the_target_side_is_followed(site: Site, policy: str) -> None:
    for name in ("file-to-file", "file-to-nothing", "file-to-folder"):
        (site.tree / name).write_text("repository")
    for name in ("folder-to-folder", "folder-to-file"):
        (site.tree / name).mkdir()
        (site.tree / name / "canary").write_text("repository")
    links = {
        "file-to-file": "canary",
        "file-to-nothing": "nothing",
        "file-to-folder": ".",
        "folder-to-folder": ".",
        "folder-to-file": "canary",
    }
    for name, to in links.items():
        (site.target / name).symlink_to(site.outside / to)
    result = site.run(policy)
    assert result == uploads.UploadsResult(left_alone=5)
    for name, to in links.items():
        assert (site.target / name).readlink() == site.outside / to
        assert site.said(f"'{name}'", "stays as it is")


@pytest.mark.parametrize("policy", ["keep", "overwrite"])
def test_conflicts_of_kind_are_kept_and_named(site: Site, policy: str) -> None:
    (site.tree / "folder").mkdir()
    (site.tree / "folder/x").touch()
    (site.target / "folder").write_text("people's file")
    (site.tree / "file").write_text("repository")
    (site.target / "file").mkdir()
    (site.target / "file/inside").write_text("people's")
    (site.tree / "pipe").write_text("repository")
    os.mkfifo(site.target / "pipe")
    (site.tree / "zz").write_text("arrives")
    result = site.run(policy)
    assert (result.left_alone, result.new_files) == (3, 1)
    assert content(site.target) == {"folder": "people's file", "file/inside": "people's", "zz": "arrives"}
    for name in ("folder", "file", "pipe"):
        assert site.said(f"'{name}'", "stays as it is")


def test_links_and_special_files_of_the_version_are_left_out(site: Site) -> None:
    (site.tree / "link").symlink_to("/etc/passwd")
    (site.tree / "folder-link").symlink_to(site.outside)
    os.mkfifo(site.tree / "pipe")
    (site.tree / "plain").touch()
    assert site.run() == uploads.UploadsResult(new_files=1)
    assert os.listdir(site.target) == ["plain"]
    for name, kind in (("link", "a link"), ("folder-link", "a link"), ("pipe", "a special file")):
        assert site.said(f"'{name}' of the version is {kind}; it is left out")


def test_a_version_without_uploads_and_one_with_a_link(site: Site) -> None:
    site.tree.rmdir()
    assert site.run() == uploads.UploadsResult()
    site.tree.symlink_to(site.outside)
    assert site.run() == uploads.UploadsResult()
    assert site.said("uploads", "a link")
    assert os.listdir(site.target) == []


def test_the_target_itself_may_be_a_link_of_the_administrator(site: Site, tmp_path: Path) -> None:
    (site.tree / "a").touch()
    (tmp_path / "link").symlink_to(site.target)
    site.target, real = tmp_path / "link", site.target
    site.run()
    assert os.listdir(real) == ["a"]


def test_names_that_are_no_text(site: Site) -> None:
    name = os.fsdecode(b"inv\xe1lido\xff\n\x1b[2J")
    (site.tree / name).write_text("1")
    (site.tree / ("x" * 255)).write_text("2")
    assert site.run().new_files == 2
    assert set(os.listdir(site.target)) == {name, "x" * 255}
    (site.target / name).write_text("other")
    site.run()
    assert site.said("lido", "stays as it is")
    assert not site.said("\x1b")


def test_leftovers_of_a_killed_run_are_removed_and_nothing_that_only_looks_like_them(site: Site) -> None:
    (site.tree / "sub").mkdir()
    (site.target / "sub").mkdir()
    leftovers = [".govma-upload-" + "0123456789abcdef", "sub/.govma-upload-" + "f" * 16]
    for name in leftovers:
        (site.target / name).write_text("half")
    alike = [".govma-upload-123", ".govma-upload-" + "F" * 16, ".govma-upload-" + "0" * 16 + ".png", ".govma-link-x"]
    for name in alike:
        (site.target / name).write_text("people's")
    folder, link = ".govma-upload-" + "a" * 16, ".govma-upload-" + "b" * 16
    (site.target / folder).mkdir()
    (site.target / link).symlink_to(site.outside / "canary")
    site.run()
    assert set(os.listdir(site.target)) == {"sub", folder, link, *alike}
    assert os.listdir(site.target / "sub") == []
    for name in [*alike, link]:
        (site.target / name).unlink()


def test_folders_nested_without_end(site: Site) -> None:
    fd = os.open(site.tree, safefs.DIRECTORY_FLAGS)
    for _ in range(400):
        os.mkdir("d" * 100, dir_fd=fd)
        inner = os.open("d" * 100, safefs.DIRECTORY_FLAGS, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)
    with pytest.raises(UnsafeTreeError, match="more than 100 levels deep"):
        site.run()
    with safefs.opened_root(site.html) as html:
        uploads.replace_by_link(html, "uploads", "../../../uploads", None)
    shutil.rmtree(site.target / ("d" * 100))
    assert site.tree.is_symlink()


def test_large_files_are_compared_to_their_last_byte(site: Site) -> None:
    size = 2 * upload_files._COMPARED + 1
    for name, theirs in (("differs", "b"), ("equals", "a")):
        site.both(name, "a" * size, "a" * (size - 1) + theirs)
    assert site.run().left_alone == 1
    assert site.said("'differs'", "other content")


@pytest.mark.parametrize("side", ["tree", "target"])
@pytest.mark.parametrize("kind", ["link", "nothing"])
def test_what_is_exchanged_before_the_comparison_is_not_the_same(site: Site, side: str, kind: str) -> None:
    site.both("a", "alive", "alive")
    path = getattr(site, side) / "a"
    path.unlink()
    if kind == "link":
        path.symlink_to(site.outside / "canary")
    with safefs.opened_root(site.tree) as src, safefs.opened_root(site.target) as dst:
        assert not upload_files.same_content(src, dst, "a")


@pytest.mark.parametrize(("theirs", "is_named"), [("repository", False), ("people's", True)])
def test_a_name_that_comes_into_use_meanwhile_is_named_unless_it_is_the_same_file(
    site: Site, monkeypatch: pytest.MonkeyPatch, theirs: str, is_named: bool
) -> None:
    (site.tree / "a").write_text("repository")
    place_new = upload_files.place_new

    def placed(src: int, dst: int, names: Sequence[str], owner: tuple[int, int] | None) -> list[str]:
        (site.target / "a").write_text(theirs)
        return place_new(src, dst, names, owner)

    monkeypatch.setattr(upload_files, "place_new", placed)
    assert site.run() == uploads.UploadsResult(left_alone=is_named)
    assert site.said("'a'", "has other content") is is_named
    assert content(site.target) == {"a": theirs}


def test_a_folder_that_cannot_be_opened_is_no_file(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards a disk with a fault: left alone in silence, its uploads would be missing behind a green deploy."""
    for side in (site.tree, site.target):
        (side / "a").mkdir()
    real = os.open

    def fails(path: str, flags: int, *mode: int, dir_fd: int | None = None) -> int:
        fd = real(path, flags, *mode, dir_fd=dir_fd)
        if path == "a" and os.path.samestat(os.fstat(fd), (site.target / "a").stat()):
            os.close(fd)
            raise OSError(errno.EIO, "Input/output error")
        return fd

    monkeypatch.setattr(os, "open", fails)
    with pytest.raises(OSError, match="Input/output"):
        site.run()


@pytest.mark.parametrize("kind", ["link", "nothing"])
def test_what_changes_before_it_is_replaced_stays_and_is_named(
    site: Site, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    site.both("a", "repository", "people's")
    place_over = upload_files.place_over

    def placed(*arguments: Any) -> None:
        (site.target / "a").unlink()
        if kind == "link":
            (site.target / "a").symlink_to(site.outside / "canary")
        place_over(*arguments)

    monkeypatch.setattr(upload_files, "place_over", placed)
    assert site.run("overwrite") == uploads.UploadsResult(left_alone=1)
    assert site.said("'a'", "was changed by somebody else")
    assert content(site.target) == {}
    assert (site.target / "a").is_symlink() is (kind == "link")


def test_as_many_levels_as_are_allowed_are_copied_and_no_more(site: Site) -> None:
    deepest = site.tree.joinpath(*["d"] * uploads.DEEPEST)
    deepest.mkdir(parents=True)
    (deepest / "photo").write_text("repository")
    assert site.run() == uploads.UploadsResult(new_files=1, new_dirs=uploads.DEEPEST)
    (deepest / "d").mkdir()
    with pytest.raises(UnsafeTreeError, match=r"'d/d/.*'… are more than 100 levels deep\. Remove them"):
        site.run()


def test_a_large_folder_does_not_fill_memory(site: Site) -> None:
    for number in range(4000):
        (site.tree / f"{number:04}-{'n' * 200}").touch()
    tracemalloc.start()
    try:
        assert site.run().new_files == 4000
        assert site.run() == uploads.UploadsResult()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 500_000


# -- the link in place of the folder


def test_the_folder_is_replaced_by_the_link(site: Site) -> None:
    (site.tree / "deep/er").mkdir(parents=True)
    (site.tree / "deep/link").symlink_to(site.outside)
    (site.tree / "canary").symlink_to(site.outside / "canary")
    with safefs.opened_root(site.html) as html:
        for _ in range(2):
            uploads.replace_by_link(html, "uploads", "../../../uploads", None)
            assert os.readlink(site.tree) == "../../../uploads"
        assert os.listdir(site.html) == ["uploads"]
        uploads.replace_by_link(html, "images", "../../../images", None)
    assert sorted(os.listdir(site.html)) == ["images", "uploads"]


@as_root
@pytest.mark.root
def test_the_link_itself_is_owned_by_the_web_server(site: Site) -> None:
    site.tree.rmdir()
    site.tree.symlink_to(site.outside)
    with safefs.opened_root(site.html) as html:
        uploads.replace_by_link(html, "uploads", "../../../uploads", WEB)
    assert (site.tree.lstat().st_uid, site.tree.lstat().st_gid) == WEB
    assert site.outside.stat().st_uid == 0
