"""What root makes in a directory that others can write, exchanged in the moment after: nothing of others is touched."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from govma_core.errors import UnsafeTreeError
from govma_core.fs import safefs
from govma_core.fs.trees import TreeCopier
from govma_core.versions.switch import freshen
from tests.support.rights import as_root

WEB = (33, 33)


@pytest.fixture
def bait(tmp_path: Path) -> Path:
    """Return a file of root's that everybody may write, so that everybody may link to it."""
    path = tmp_path / "outside"
    path.write_text("root's")
    path.chmod(0o666)
    os.utime(path, (1, 1))
    return path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    path = tmp_path / "www_versions"
    path.mkdir()
    os.chown(path, *WEB)
    return path


def exchanging(monkeypatch: pytest.MonkeyPatch, call: str, exchange: Callable[[Path], None], place: Path) -> None:
    """Have whoever can write in `place` exchange what a system call made there, right after it."""
    made = getattr(os, call)

    def made_and_exchanged(*arguments: object, **options: object) -> None:
        monkeypatch.undo()
        made(*arguments, **options)
        exchange(next(path for path in place.iterdir() if path.name != "kept"))

    monkeypatch.setattr(os, call, made_and_exchanged)


def linked_over(bait: Path) -> Callable[[Path], None]:
    def exchange(path: Path) -> None:
        path.unlink()
        os.link(bait, path)

    return exchange


@as_root
def test_a_file_linked_over_a_new_link_is_not_given_away(
    place: Path, bait: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchanging(monkeypatch, "symlink", linked_over(bait), place)
    with safefs.opened_root(place) as fd, pytest.raises(UnsafeTreeError, match="was exchanged"):
        safefs.replace_symlink(fd, "current-version", "data-build--x", WEB)
    assert (bait.stat().st_uid, bait.stat().st_nlink) == (0, 1)


@as_root
def test_a_link_elsewhere_over_a_new_one_is_not_taken(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exchange(path: Path) -> None:
        path.unlink()
        path.symlink_to("/etc")

    exchanging(monkeypatch, "symlink", exchange, place)
    with safefs.opened_root(place) as fd, pytest.raises(UnsafeTreeError, match="was exchanged"):
        safefs.replace_symlink(fd, "current-version", "data-build--x", WEB)
    assert list(place.iterdir()) == []


@as_root
def test_a_file_linked_over_a_copied_link_is_not_given_away(
    place: Path, bait: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "a").symlink_to("b")
    exchanging(monkeypatch, "symlink", linked_over(bait), place)
    with (
        safefs.opened_root(source) as src,
        safefs.opened_root(place) as dst,
        pytest.raises(UnsafeTreeError, match="was exchanged"),
    ):
        TreeCopier(WEB).copy_into(src, dst)
    assert bait.stat().st_uid == 0


@as_root
@pytest.mark.parametrize("kind", ["foreign", "full", "open", "link", "file", "gone"])
def test_another_directory_over_a_new_one_is_not_taken(
    place: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir(mode=0o700)

    def exchange(path: Path) -> None:
        path.rmdir()
        if kind == "link":
            path.symlink_to(other)
        elif kind == "file":
            path.touch()
        elif kind != "gone":
            other.rename(path)

    if kind == "foreign":
        os.chown(other, *WEB)
    elif kind == "full":
        (other / "file").touch()
    elif kind == "open":
        other.chmod(0o777)
    exchanging(monkeypatch, "mkdir", exchange, place)
    with safefs.opened_root(place) as fd, pytest.raises(UnsafeTreeError, match="was exchanged"):
        safefs.make_directory(fd, ".govma-incoming", 0o755)
    left = other if other.exists() else next(place.iterdir(), None)
    if left is not None and left.is_dir():
        assert stat.S_IMODE(left.stat().st_mode) == (0o777 if kind == "open" else 0o700)


@as_root
def test_a_switch_touches_no_file_of_others_that_is_linked_into_the_version(place: Path, bait: Path) -> None:
    """Guards outside files: the CMS can link to what it may write, wherever that is."""
    user = place / "system/user/templates"
    user.mkdir(parents=True)
    for path in (place / "system", place / "system/user", user):
        os.chown(path, *WEB)
    os.link(bait, user / "stolen.css")
    (user / "own.css").write_text("its own")
    os.chown(user / "own.css", *WEB)
    os.link(user / "own.css", place / "kept")
    os.utime(user / "own.css", (1, 1))
    (user / "roots.js").write_text("left by an operator, in this place only")
    os.utime(user / "roots.js", (1, 1))
    with safefs.opened_root(place) as fd:
        assert freshen(fd).files == 2
    assert bait.stat().st_mtime == 1
    assert (user / "own.css").stat().st_mtime > 1
    assert (user / "roots.js").stat().st_mtime > 1
