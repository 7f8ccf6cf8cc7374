"""What a version is tried with: copies within bounds, and nothing of them left."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from govma_core.errors import NotTriedError, RehearsalError, RunCancelled
from govma_core.fs import safefs, trees
from govma_core.promotion import rehearsal_copy
from govma_core.promotion.rehearsal_copy import Budget
from tests.support.nesting import nest
from tests.support.releases import NAMES, Releases

VERSION = NAMES[0]
CACHE, CONFIG = "system/user/cache", "system/user/config"


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    releases = Releases(tmp_path / "site")
    releases.add(VERSION)
    for name in (CACHE, CONFIG):
        (releases.directory / VERSION / name).mkdir()
    return releases


def copies(releases: Releases) -> Path:
    return releases.state / "rehearsal/copies"


def staged(releases: Releases, writable: Sequence[str] = (CACHE, CONFIG)) -> Any:
    releases.flags["rehearsal_writable"] = list(writable)
    return rehearsal_copy.stage_version(releases.context(), VERSION)


@pytest.mark.parametrize("what", ["sparse", "deep", "many", "many links", "grown", "special"])
def test_what_the_cms_puts_in_its_way_does_not_fill_or_crash_the_rehearsal(
    releases: Releases, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards state_dir and the run: the web server's user can make a file of terabytes that takes no room."""
    cache = releases.directory / VERSION / CACHE
    (cache / "file").write_text("x")
    if what == "sparse":
        os.truncate(cache / "file", 1 << 42)
    elif what == "deep":
        nest(cache, 300)
    elif what == "special":
        os.mkfifo(cache / "pipe")
    else:
        monkeypatch.setattr(rehearsal_copy, "Budget", lambda: Budget(bytes=1000, entries=10))
        for number in range(12 if what.startswith("many") else 0):
            (cache / str(number)).symlink_to("x") if what == "many links" else (cache / str(number)).mkdir()
    if what == "grown":
        real = safefs.open_regular

        def grown(dir_fd: int, name: str) -> tuple[int, os.stat_result]:
            os.truncate(cache / "file", 1 << 42)
            return real(dir_fd, name)

        monkeypatch.setattr(safefs, "open_regular", grown)
    if what == "special":
        with staged(releases):
            assert os.listdir(copies(releases) / "0") == ["file"]
    else:
        with pytest.raises(NotTriedError, match=f"{CACHE} of the version cannot be copied"), staged(releases):
            pass
    assert not copies(releases).exists()


def test_all_directories_share_what_may_be_copied(releases: Releases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal_copy, "Budget", lambda: Budget(bytes=1000))
    for name in (CACHE, CONFIG):
        (releases.directory / VERSION / name / "file").write_bytes(bytes(600))
        with staged(releases, [name]):
            pass
    with pytest.raises(NotTriedError, match=f"{CONFIG} of the version cannot be copied"), staged(releases):
        pass


def test_a_large_file_is_left_in_the_middle_when_somebody_asks(tmp_path: Path) -> None:
    def asked() -> None:
        raise RunCancelled

    for name, size in (("from", 1 << 26), ("to", 0)):
        (tmp_path / name).touch()
        os.truncate(tmp_path / name, size)
    with (tmp_path / "from").open("rb") as src, (tmp_path / "to").open("wb") as dst:
        with pytest.raises(RunCancelled):
            trees.copy_content(src.fileno(), dst.fileno(), None, asked)
        assert os.fstat(dst.fileno()).st_size < 1 << 26


def test_what_cannot_be_removed_does_not_hide_what_was_found(
    releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the verdict; the next run removes it, or says that it cannot."""

    def broken(fd: int, name: str) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    with monkeypatch.context() as patch:
        patch.setattr(trees, "remove", broken)
        with pytest.raises(RehearsalError), staged(releases):
            raise RehearsalError("not good")
    assert "copies could not be removed: Operation not permitted" in releases.log("warning")
    with pytest.raises(NotTriedError, match=r"What an earlier rehearsal left in .* could not be removed"):
        staged(releases).__enter__()
    rehearsal_copy.sweep(releases.state)
    with staged(releases):
        pass


def test_the_version_is_known_by_what_it_is_and_not_by_its_name(releases: Releases) -> None:
    """Guards against what the web server's user puts in its place before the container has mounted it."""
    with staged(releases) as stage:
        assert stage.in_place()
        assert stage.shown_by(os.getpid(), str(releases.directory))
        (releases.directory / VERSION).rename(releases.root / "aside")
        assert not stage.in_place()
        with pytest.raises(FileNotFoundError):
            stage.shown_by(os.getpid(), str(releases.directory))
        (releases.directory / VERSION).mkdir()
        assert not stage.in_place()
        assert not stage.shown_by(os.getpid(), str(releases.directory))


def test_links_of_a_container_lead_where_they_lead_in_it(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "srv/versions").mkdir(parents=True)
    (root / "absolute").symlink_to("/srv")
    (root / "out").symlink_to("../../../../../srv/versions")
    with safefs.opened_root(root) as fd:
        for path in ("/srv/versions", "absolute/versions", "out", "../../srv/versions"):
            with safefs.opened_inside(fd, path) as present:
                assert os.path.samestat(os.fstat(present), (root / "srv/versions").stat())
