"""Uploads while somebody else writes the same directory, and whatever may be on the two sides."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from govma_core.deploy import upload_files, uploads
from govma_core.errors import RunCancelled, UnsafeTreeError
from govma_core.fs import safefs
from govma_core.reporting import Cancellation
from tests.support.leased import leased
from tests.support.rights import as_root
from tests.support.upload_sites import Site, content, guarded_site, picture

WEB = (33, 33)


@pytest.fixture(name="site")
def _site(tmp_path: Path) -> Iterator[Site]:
    with guarded_site(tmp_path) as site:
        yield site


def test_a_request_to_cancel_is_honoured_between_files(site: Site) -> None:
    (site.tree / "a").touch()
    cancellation = Cancellation()
    cancellation.request()
    with pytest.raises(RunCancelled):
        site.run(cancellation=cancellation)
    assert os.listdir(site.target) == []


@pytest.mark.parametrize("kind", ["file", "link", "folder", "empty folder"])
def test_a_new_file_never_takes_a_name_that_came_into_use(site: Site, kind: str) -> None:
    (site.tree / "a").write_text("repository")
    there = site.target / "a"
    if kind == "file":
        there.write_text("people's")
    elif kind == "link":
        there.symlink_to(site.outside / "canary")
    else:
        (there / "x" if kind == "folder" else there).mkdir(parents=True)
    before = there.lstat()
    with safefs.opened_root(site.tree) as src, safefs.opened_root(site.target) as dst:
        assert upload_files.place_new(src, dst, ["a"], None) == ["a"]
    assert os.listdir(site.target) == ["a"]
    assert (there.lstat().st_ino, there.lstat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


class _Meanwhile(upload_files.Keeper):
    """A keeper that is done when somebody puts something else under the name, the first time."""

    def __init__(self, directory: Path, put: Callable[[], None]) -> None:
        super().__init__(directory)
        self._put: Callable[[], None] | None = put

    def keep(self, src: int, path: tuple[str, ...], name: str = "") -> os.stat_result:
        info = super().keep(src, path, name)
        put, self._put = self._put, None
        if put is not None:
            put()
        return info


@pytest.mark.parametrize("kind", ["file", "written", "link", "folder"])
@pytest.mark.parametrize("elsewhere", [False, True])
def test_what_somebody_puts_there_once_it_was_kept_is_not_lost(site: Site, kind: str, elsewhere: bool) -> None:
    site.both("a", "repository", "people's")
    there, new = site.target / "a", site.target / "new"

    def put() -> None:
        if kind == "written":
            there.write_text("people's newer")
            return
        if kind == "file":
            new.write_text("people's newer")
        elif kind == "link":
            new.symlink_to(site.outside / "canary")
        else:
            there.unlink()
            new.mkdir()
        new.rename(there)

    # Another file system: what is kept there is a copy.
    with tempfile.TemporaryDirectory(dir="/dev/shm" if elsewhere else None) as tmp, ExitStack() as stack:
        replaced = Path(tmp, "kept") if elsewhere else site.kept
        keeper = _Meanwhile(replaced, put)
        src = stack.enter_context(safefs.opened_root(site.tree))
        dst = stack.enter_context(safefs.opened_root(site.target))
        if kind in ("file", "written"):
            upload_files.place_over(src, dst, ("a",), None, keeper)
            assert there.read_text() == "repository"
            assert set(content(replaced).values()) >= {"people's newer"}
        else:
            with pytest.raises(UnsafeTreeError):
                upload_files.place_over(src, dst, ("a",), None, keeper)
            assert there.is_symlink() if kind == "link" else there.is_dir()
            assert set(content(replaced).values()) == {"people's"}
    assert os.listdir(site.target) == ["a"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_without_an_exchange_a_folder_that_comes_is_not_replaced(
    site: Site, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    site.both("a", "repository", "people's")

    def put() -> None:
        (site.target / "a").unlink()
        (site.target / "a").mkdir() if kind == "folder" else (site.target / "a").write_text("people's newest")

    monkeypatch.setattr(safefs, "rename_exchange", lambda *names, **directories: False)
    with safefs.opened_root(site.tree) as src, safefs.opened_root(site.target) as dst, ExitStack() as stack:
        if kind == "folder":
            stack.enter_context(pytest.raises(UnsafeTreeError))
        upload_files.place_over(src, dst, ("a",), None, _Meanwhile(site.kept, put))
    assert (site.target / "a").is_dir() is (kind == "folder")
    assert content(site.kept) == {"a": "people's"}


def test_a_link_in_the_place_of_a_finished_copy_is_not_followed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards files of others: a second name of one in the persistent directory would be the web server's to ask for."""
    (site.tree / "a").write_text("repository")

    def exchanged(fd: int) -> None:
        for staged in site.target.glob(".govma-upload-*"):
            staged.unlink()
            staged.symlink_to(site.outside / "canary")

    monkeypatch.setattr(safefs, "syncfs", exchanged)
    site.run()
    assert (site.target / "a").is_symlink()


def test_a_folder_that_cannot_get_its_rights_is_closed_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fixture counts the descriptors."""

    def fails(fd: int, mode: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    (site.tree / "new").mkdir()
    monkeypatch.setattr(os, "fchmod", fails)
    with pytest.raises(OSError, match="Input/output"):
        site.run()


def test_nothing_is_kept_of_what_is_no_file(site: Site) -> None:
    (site.target / "a").symlink_to(site.outside / "canary")
    with safefs.opened_root(site.target) as dst, pytest.raises(UnsafeTreeError):
        upload_files.Keeper(site.kept).keep(dst, ("a",))
    assert os.listdir(site.kept) == []


@pytest.mark.parametrize("name", ["ã" * 127, "x" * 255])
def test_what_is_kept_twice_has_a_name_of_its_own_however_long_it_is(site: Site, name: str) -> None:
    """Guards a deploy from `File name too long`: names are limited in bytes, and a letter may take two."""
    (site.target / name).write_text("people's")
    keeper = upload_files.Keeper(site.kept)
    with safefs.opened_root(site.target) as dst:
        keeper.keep(dst, (name,))
        keeper.keep(dst, (name,))
    assert list(content(site.kept).values()) == ["people's"] * 2


@pytest.mark.parametrize("policy", ["keep", "overwrite"])
def test_a_file_system_without_hard_links_and_exchanges_loses_nothing(
    site: Site, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards uploads on a network share: a name in use is not taken, and what is replaced is kept as a copy."""

    def refuse(*arguments: object, **more: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(safefs, "rename_exchange", lambda *names, **directories: False)
    (site.tree / "new").write_text("repository")
    site.both("a/logo.png", "repository", "people's")
    (site.target / "a/logo.png").chmod(0o640)
    site.run(policy)
    replaced = "repository" if policy == "overwrite" else "people's"
    assert content(site.target) == {"new": "repository", "a/logo.png": replaced}
    if policy == "overwrite":
        assert content(site.kept) == {"a/logo.png": "people's"}
        assert stat.S_IMODE((site.kept / "a/logo.png").stat().st_mode) == 0o640
    with safefs.opened_root(site.tree) as src, safefs.opened_root(site.target) as dst:
        assert upload_files.place_new(src, dst, ["new"], None) == ["new"]


def test_what_vanishes_or_changes_in_the_version_meanwhile_is_named_and_the_rest_comes(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("gone", "link", "stays"):
        (site.tree / name).write_text("repository")
    place_new = upload_files.place_new

    def placed(src: int, dst: int, names: Sequence[str], owner: tuple[int, int] | None) -> list[str]:
        (site.tree / "gone").unlink()
        (site.tree / "link").unlink()
        (site.tree / "link").symlink_to(site.outside / "canary")
        return place_new(src, dst, names, owner)

    monkeypatch.setattr(upload_files, "place_new", placed)
    assert site.run() == uploads.UploadsResult(new_files=1, left_alone=2)
    assert content(site.target) == {"stays": "repository"}
    for name in ("gone", "link"):
        assert site.said(f"'{name}'", "was changed by somebody else", "stays as it is")


@as_root
@pytest.mark.root
def test_a_new_folder_has_the_owner_and_no_more_rights_than_the_versions(site: Site) -> None:
    (site.tree / "new").mkdir()
    (site.tree / "new").chmod(0o7750)
    with safefs.opened_root(site.target) as target:
        os.close(upload_files.make_folder(target, "new", (site.tree / "new").stat(), WEB))
    info = (site.target / "new").stat()
    assert (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)) == (*WEB, 0o750)


@pytest.mark.parametrize("policy", ["keep", "overwrite"])
def test_a_file_that_its_owner_holds_for_writing_stays_and_is_named(site: Site, policy: str) -> None:
    site.both("a", "same size", "some size")
    site.both("b", "repository", "people's")
    with leased(site.target / "a"):
        result = site.run(policy)
    assert result.left_alone == (2 if policy == "keep" else 1)
    assert site.said("'a'", "is being written", "stays as it is")
    assert (site.target / "a").read_text() == "some size"


def test_two_names_never_become_one_by_a_race(site: Site) -> None:
    """A web server that saves the same names all the time never loses one of its files to a new one of ours."""
    names = [f"{number}.png" for number in range(300)]
    for name in names:
        (site.tree / name).write_text("repository")
    lost: list[str] = []

    def people() -> None:
        for name in reversed(names):
            try:
                fd = os.open(site.target / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            except FileExistsError:
                continue
            os.write(fd, b"people's")
            os.close(fd)
            if (site.target / name).read_text() != "people's":
                lost.append(name)

    worker = threading.Thread(target=people)
    worker.start()
    result = site.run()
    worker.join()
    assert lost == []
    files = content(site.target)
    assert set(files.values()) <= {"repository", "people's"}
    assert result.new_files == sum(text == "repository" for text in files.values())
    assert result.new_files + result.left_alone == 300


def test_a_web_server_that_exchanges_folders_for_links_gains_nothing(site: Site) -> None:
    for number in range(60):
        (site.tree / f"{number}").mkdir()
        (site.tree / f"{number}/canary").write_text("repository")
    stop = threading.Event()

    def attack() -> None:
        while not stop.is_set():
            for name in os.listdir(site.target):
                try:
                    os.rename(site.target / name, site.target / "aside")
                    os.symlink(site.outside, site.target / name)
                    os.unlink(site.target / name)
                    shutil.rmtree(site.target / "aside")
                except OSError:
                    continue

    worker = threading.Thread(target=attack)
    worker.start()
    try:
        for policy in ("keep", "overwrite") * 5:
            site.run(policy)
    finally:
        stop.set()
        worker.join()
    for path in site.target.rglob(".govma-*"):
        path.unlink()


@as_root
@pytest.mark.root
def test_a_private_folder_moved_over_a_new_one_is_not_given_away(site: Site) -> None:
    """Whoever writes the directory can rename root's private folder to the name of one that was just created."""
    private, new, aside = site.target / "private", site.target / "new", site.target / "aside"
    private.mkdir(mode=0o700)
    (private / "secret").touch()
    stop = threading.Event()

    def attack() -> None:
        while not stop.is_set():
            with suppress(OSError):
                os.rename(private, new)

    worker = threading.Thread(target=attack)
    worker.start()
    lookups = 0
    try:
        with safefs.opened_root(site.target) as target:
            for _ in range(3000):
                with suppress(UnsafeTreeError, FileExistsError):
                    os.close(upload_files.make_folder(target, "new", site.tree.stat(), WEB))
                with suppress(FileNotFoundError):
                    os.rename(new, aside)
                    lookups += (aside / "secret").exists()
                    assert not (aside / "secret").exists() or aside.stat().st_uid == 0
                    os.rename(aside, private) if (aside / "secret").exists() else os.rmdir(aside)
    finally:
        stop.set()
        worker.join()
    assert lookups > 0


names = st.sampled_from(["a", "b", "c"])


entry = st.one_of(
    st.tuples(st.just("file"), st.sampled_from(["", "1", "2", "long"])),
    st.tuples(st.just("link"), st.sampled_from(["../outside", "../outside/canary", "nowhere", "a"])),
    st.tuples(st.just("pipe"), st.just("")),
)


layout = st.dictionaries(st.lists(names, min_size=1, max_size=3).map(tuple), entry, max_size=8)


def build(root: Path, files: dict[tuple[str, ...], tuple[str, str]]) -> None:
    for path, (kind, what) in files.items():
        at = root.joinpath(*path)
        try:
            os.makedirs(at.parent, exist_ok=True)
            if at.parent.resolve() != root.resolve().joinpath(*path[:-1]) or os.path.lexists(at):
                continue
            if kind == "file":
                at.write_text(what)
            elif kind == "link":
                at.symlink_to(what)
            else:
                os.mkfifo(at)
        except OSError:
            continue


@settings(max_examples=150)
@given(ours=layout, theirs=layout, policy=st.sampled_from(["keep", "overwrite"]))
def test_whatever_is_on_the_two_sides(
    ours: dict[tuple[str, ...], tuple[str, str]], theirs: dict[tuple[str, ...], tuple[str, str]], policy: str
) -> None:
    """Nothing of people's is lost, nothing outside is touched, a second run has nothing left to do."""
    with tempfile.TemporaryDirectory() as tmp:
        site = Site(Path(tmp))
        build(site.tree, ours)
        build(site.target, theirs)
        before, outside = picture(site.target), picture(site.outside)
        first = site.run(policy)
        after = picture(site.target)
        replaced = content(site.kept) if site.kept.exists() else {}
        for path, was in before.items():
            if after[path] != was:
                assert policy == "overwrite"
                assert replaced[path] == was[3]
        added = [path for path in after if path not in before]
        assert len(added) == first.new_files + first.new_dirs
        assert len(replaced) == first.replaced
        assert all(stat.S_IFMT(after[path][1]) in (stat.S_IFREG, stat.S_IFDIR) for path in added)
        assert not any(re.search(r"\.govma", path) for path in after)
        assert picture(site.outside) == outside
        second = site.run(policy)
        assert second == uploads.UploadsResult(left_alone=first.left_alone)
        assert picture(site.target) == after
