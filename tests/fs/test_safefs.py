"""Names given by descriptor: on file systems that lack a flag, with any umask, and when a call fails in the middle."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from govma_core.errors import UnsafeTreeError
from govma_core.fs import safefs
from tests.support.journal import Journal
from tests.support.rights import as_root


@pytest.fixture
def place(tmp_path: Path) -> Iterator[int]:
    with safefs.opened_root(tmp_path) as fd:
        yield fd


@pytest.fixture(params=[errno.EINVAL, errno.ENOSYS])
def without_flags(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have renameat2(2) refuse its flags, as on some FUSE and old NFS."""

    def refuse(*arguments: object) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(safefs, "_renameat2", refuse)


@pytest.mark.usefixtures("without_flags")
def test_a_name_that_is_taken_stays_on_a_file_system_that_does_not_look_itself(place: int, tmp_path: Path) -> None:
    (tmp_path / "new").write_text("new")
    (tmp_path / "file").touch()
    (tmp_path / "directory").mkdir()
    (tmp_path / "dangling").symlink_to("nothing")
    for taken in ("file", "directory", "dangling"):
        with pytest.raises(FileExistsError):
            safefs.rename_noreplace("new", taken, src_dir_fd=place, dst_dir_fd=place)
    safefs.rename_noreplace("new", "free", src_dir_fd=place, dst_dir_fd=place)
    assert (tmp_path / "free").read_text() == "new"
    assert not safefs.rename_exchange("free", "file", src_dir_fd=place, dst_dir_fd=place)
    assert (tmp_path / "free").read_text() == "new"


def test_any_other_error_of_a_rename_is_no_reason_to_go_on_without_flags(place: int, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("there")
    with pytest.raises(FileNotFoundError):
        safefs.rename_exchange("there", "missing", src_dir_fd=place, dst_dir_fd=place)
    with pytest.raises(FileExistsError):
        safefs.rename_noreplace("there", "there", src_dir_fd=place, dst_dir_fd=place)
    assert os.listdir(tmp_path) == ["there"]


def test_a_link_that_could_not_be_renamed_leaves_nothing(
    place: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "directory").mkdir()
    with pytest.raises(IsADirectoryError):
        safefs.replace_symlink(place, "directory", "target", None)

    def interrupted(*arguments: object, **more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        safefs.replace_symlink(place, "link", "target", None)
    assert os.listdir(tmp_path) == ["directory"]


def test_a_link_is_on_the_disk_unless_it_is_not_to_be(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(monkeypatch)
    safefs.replace_symlink(place, "a", "target", None, durable=False)
    assert [call.kind for call in journal.calls] == ["name"]
    safefs.replace_symlink(place, "b", "target", None)
    assert [call.kind for call in journal.calls] == ["name", "name", "fsync"]


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o1700, 0o2775])
def test_a_directory_has_exactly_its_mode_whatever_the_umask(place: int, tmp_path: Path, mode: int) -> None:
    umask = os.umask(0o077)
    try:
        os.close(safefs.make_directory(place, "new", mode))
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == mode


@as_root
@pytest.mark.parametrize(("owner", "mode"), [(33, 0o777), (33, 0o700), (0, 0o770), (0, 0o700)])
def test_a_directory_that_is_closed_to_others_is_ours_alone(tmp_path: Path, owner: int, mode: int) -> None:
    path = tmp_path / "theirs"
    path.mkdir()
    os.chown(path, owner, owner)
    path.chmod(mode)
    with safefs.opened_root(path) as fd:
        safefs.close_to_others(fd)
    info = path.stat()
    assert (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)) == (0, 0, 0o700)


def test_only_a_regular_file_is_opened_and_nothing_stays_open(
    place: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("content")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
    before = len(os.listdir("/proc/self/fd"))
    for name in ("link", "folder", "fifo", "socket"):
        with pytest.raises(UnsafeTreeError, match=name):
            safefs.open_regular(place, name)
    for name in ("link", "file", "fifo"):
        with pytest.raises(UnsafeTreeError, match=f"'{name}' is a link or a file"), safefs.opened(place, name):
            pass
    (tmp_path / "folder/link").symlink_to("..")
    with pytest.raises(UnsafeTreeError, match="'folder/link'"), safefs.opened(place, "folder", "link", make=True):
        pass
    with pytest.raises(FileNotFoundError), safefs.opened(place, "missing"):
        pass
    with safefs.opened(place, "missing", "deeper", make=True) as fd:
        assert os.readlink(f"/proc/self/fd/{fd}") == str(tmp_path / "missing/deeper")
    assert len(os.listdir("/proc/self/fd")) == before
