"""Removing one version: what stays whole around it, who may still stop it, what resists, and what a kill leaves."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from govma_core.errors import PublishError
from govma_core.fs import jsonfile, safefs, trees
from govma_core.fs.trees import clear_opened
from govma_core.versions.marks import PinStore
from govma_core.versions.remove import Removal, Remover, sweep
from govma_core.versions.store import VersionStore
from tests.support.journal import Journal
from tests.support.nesting import nest
from tests.support.rights import as_root
from tests.support.small_store import NEW, OLD, add_records, hidden, names, switch_by_hand, whole


def during(monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> None:
    """Do something in the moment after the version was set aside, before it is looked at again."""
    real = safefs.rename_noreplace
    removal: list[bool] = []

    def rename(src: str, dst: str, **fds: int) -> None:
        real(src, dst, **fds)
        if not removal:
            removal.append(True)
            action()

    monkeypatch.setattr(safefs, "rename_noreplace", rename)


def test_a_version_is_removed_with_its_records_and_nothing_else(store: VersionStore, state: Path) -> None:
    add_records(state)
    assert Remover(store, state).remove(OLD) == Removal(OLD)
    assert names(store) == ["current-version", NEW]
    assert whole(store.directory / NEW)
    assert [path for path in state.rglob("*") if path.is_file()] == []


def test_hard_links_elsewhere_and_what_links_lead_to_stay_whole(
    store: VersionStore, state: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    old = store.directory / OLD
    for file in ("html/index.php", "html/a/one"):
        (store.directory / NEW / file).unlink()
        os.link(old / file, store.directory / NEW / file)
    os.link(old / "system/three", outside / "three")
    (old / "html/uploads").symlink_to(outside)
    (old / "html/file").symlink_to(outside / "kept")
    (old / "html/sibling").symlink_to(f"../../{NEW}")
    os.mkfifo(old / "html/fifo")
    Remover(store, state).remove(OLD)
    assert not old.exists()
    assert whole(store.directory / NEW)
    assert sorted(os.listdir(outside)) == ["kept", "three"]
    assert (outside / "three").read_text() == "system/three"
    assert (outside / "kept").read_text() == "kept"


def test_the_live_version_is_left_alone(store: VersionStore, state: Path) -> None:
    assert "current-version leads to it" in Remover(store, state).remove(NEW).spared
    assert whole(store.directory / NEW)


@pytest.mark.parametrize("kind", ["missing", "foreign", "dangling", "directory"])
def test_nothing_is_removed_while_it_is_unknown_what_is_live(store: VersionStore, state: Path, kind: str) -> None:
    link = store.directory / "current-version"
    link.unlink()
    if kind == "directory":
        link.mkdir()
    elif kind != "missing":
        link.symlink_to("/etc" if kind == "foreign" else "data-build--gone")
    assert "not certain which version is live" in Remover(store, state).remove(OLD).spared
    assert whole(store.directory / OLD)


def switch_half(store: VersionStore) -> None:
    (store.directory / "current-version").unlink()


@pytest.mark.parametrize("action", [switch_by_hand, switch_half])
def test_a_switch_by_hand_in_the_last_moment_gets_its_version_back(
    store: VersionStore, state: Path, monkeypatch: pytest.MonkeyPatch, action: Callable[[VersionStore], None]
) -> None:
    """Guards the site: `ln -sfn` in the moment between the look at the link and the removal."""
    during(monkeypatch, lambda: action(store))
    assert Remover(store, state).remove(OLD).spared
    assert whole(store.directory / OLD)
    assert hidden(store) == []
    assert os.listdir(state) == []


@pytest.mark.parametrize("kind", ["nothing", "link", "file"])
def test_what_is_no_directory_any_more_is_left_alone(store: VersionStore, state: Path, kind: str) -> None:
    (store.directory / OLD).rename(store.directory / "aside")
    if kind == "link":
        (store.directory / OLD).symlink_to("aside")
    elif kind == "file":
        (store.directory / OLD).touch()
    assert Remover(store, state).remove(OLD) == Removal(OLD, "it is gone, or no directory any more")
    assert whole(store.directory / "aside")
    assert hidden(store) == os.listdir(state) == []


def test_a_removal_is_noted_before_each_of_its_steps_and_its_names_are_on_the_disk(
    store: VersionStore, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards what the next run knows of a removal that is killed: whether it may take it back, and of which version."""
    inode = (store.directory / OLD).stat().st_ino
    notes: list[tuple[str, bool, int]] = []

    def look() -> None:
        note = json.loads((state / "removal.json").read_text())
        notes.append((note["version"], note["clearing"], note["inode"]))

    def looked_and_cleared(fd: int, name: str, version: int) -> list[str]:
        look()
        # Marked by now: the next run's sweep removes only what is.
        assert os.fstat(version).st_mode & 0o7777 == 0o1700
        return clear_opened(fd, name, version)

    during(monkeypatch, look)
    monkeypatch.setattr(trees, "clear_opened", looked_and_cleared)
    journal = Journal(monkeypatch)
    Remover(store, state).remove(OLD)
    assert notes == [(OLD, False, inode), (OLD, True, inode)]
    synced = [call.path for call in journal.calls if call.kind == "fsync"]
    assert synced.count(store.directory) == 2


def test_a_pin_in_the_last_moment_is_honoured(
    store: VersionStore, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    during(monkeypatch, lambda: PinStore(state).pin(OLD, "ana", "", 1.0))
    assert Remover(store, state).remove(OLD).spared == "it is pinned by now"
    assert whole(store.directory / OLD)


def test_a_name_that_was_taken_meanwhile_is_not_replaced_and_the_version_is_kept_visible(
    store: VersionStore, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take() -> None:
        switch_by_hand(store)
        (store.directory / OLD).mkdir()

    during(monkeypatch, take)
    with pytest.raises(PublishError, match=f"{OLD}.aside-") as raised:
        Remover(store, state).remove(OLD)
    (aside,) = store.directory.glob(f"{OLD}.aside-*")
    assert str(aside) in str(raised.value)
    assert whole(aside)
    assert os.listdir(state) == [], "no note about a version that a person has to look at"
    with safefs.opened_root(store.directory) as fd:
        assert sweep(fd) == []


@pytest.mark.parametrize("moment", ["before it is set aside", "before it is cleared"])
def test_a_version_that_is_replaced_by_a_link_is_not_followed(
    store: VersionStore, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    outside = tmp_path / "outside"
    shutil.copytree(store.directory / NEW, outside)

    def replace(name: str) -> None:
        (store.directory / name).rename(tmp_path / "aside")
        (store.directory / name).symlink_to(outside)

    if moment == "before it is set aside":
        real = safefs.rename_noreplace

        def rename(src: str, dst: str, **fds: int) -> None:
            if src == OLD:
                replace(OLD)
            real(src, dst, **fds)

        monkeypatch.setattr(safefs, "rename_noreplace", rename)
        assert Remover(store, state).remove(OLD).spared == "something else took its place"
        assert os.readlink(store.directory / OLD) == str(outside)
    else:

        def replaced_and_cleared(fd: int, name: str, version: int) -> list[str]:
            replace(name)
            return clear_opened(fd, name, version)

        monkeypatch.setattr(trees, "clear_opened", replaced_and_cleared)
        assert "Not a directory" in Remover(store, state).remove(OLD).unremovable[0]
        (store.directory / hidden(store)[0]).unlink()
    assert hidden(store) == []
    assert whole(outside)
    # What was to be removed is removed wherever it went, once nothing spoke against that.
    assert (tmp_path / "aside/html").exists() is (moment == "before it is set aside")


def test_folders_without_end_are_removed(store: VersionStore, state: Path) -> None:
    nest(store.directory / OLD, 700)
    assert Remover(store, state).remove(OLD) == Removal(OLD)
    assert hidden(store) == []


@as_root
def test_what_is_immutable_is_named_the_rest_removed_and_the_next_sweep_finishes(
    store: VersionStore, state: Path
) -> None:
    file = store.directory / OLD / "html/a/one"
    if subprocess.run(["chattr", "+i", file], check=False, capture_output=True).returncode:
        pytest.skip("this file system has no immutable files")
    try:
        removal = Remover(store, state).remove(OLD)
        assert removal.spared == ""
        assert [line.partition(":")[0] for line in removal.unremovable] == ["html/a/one"]
        assert "lsattr" in removal.unremovable[0]
        (name,) = hidden(store)
        files = [path for path in (store.directory / name).rglob("*") if not path.is_dir()]
        file = store.directory / name / "html/a/one"
        assert files == [file]
        assert OLD not in names(store)
        # It holds up no other run, and is named each time.
        with safefs.opened_root(store.directory) as fd:
            (leftover,) = sweep(fd)
            assert leftover.unremovable
            assert Remover(store, state).take_up() == ""
            subprocess.run(["chattr", "-i", file], check=True)
            (leftover,) = sweep(fd)
        assert leftover.unremovable == []
        assert hidden(store) == []
    finally:
        subprocess.run(["chattr", "-R", "-i", store.directory], check=False, capture_output=True)


@as_root
def test_an_immutable_version_is_left_alone_and_said(store: VersionStore, state: Path) -> None:
    tree = store.directory / OLD
    if subprocess.run(["chattr", "+i", tree], check=False, capture_output=True).returncode:
        pytest.skip("this file system has no immutable files")
    try:
        assert "cannot be renamed: Operation not permitted" in Remover(store, state).remove(OLD).spared
        assert os.listdir(state) == []
    finally:
        subprocess.run(["chattr", "-i", tree], check=True)
    assert whole(tree)


@as_root
@pytest.mark.parametrize("bound", [False, True], ids=["another file system", "bind mount of the same"])
def test_what_is_mounted_inside_is_never_entered(store: VersionStore, state: Path, tmp_path: Path, bound: bool) -> None:
    """Guards uploads that an operator mounted into an old version: by device alone a removal would enter them."""
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    (uploads / "photo").write_text("people's")
    point = store.directory / OLD / "html/a"
    mount = ["--bind", str(uploads)] if bound else ["-t", "tmpfs", "none"]
    subprocess.run(["mount", *mount, point], check=True)
    (point / "more").write_text("x")
    try:
        removal = Remover(store, state).remove(OLD)
        assert list(removal.unremovable) == ["html/a: something is mounted there"]
        (leftover,) = hidden(store)
        point = store.directory / leftover / "html/a"
        assert (point / "more").read_text() == "x"
        assert not (store.directory / leftover / "system").exists()
        assert not (store.directory / leftover / "html/index.php").exists()
    finally:
        # Wherever the removal has moved it to.
        mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for place in mounts:
            if place.startswith(f"{store.directory}/"):
                subprocess.run(["umount", place], check=True)
    if bound:
        assert sorted(os.listdir(uploads)) == ["more", "photo"]
    with safefs.opened_root(store.directory) as fd:
        sweep(fd)
    assert hidden(store) == []


def test_a_full_disk_does_not_keep_a_version_from_being_removed(
    store: VersionStore, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **more: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(jsonfile, "replace", full)
    assert Remover(store, state).remove(OLD) == Removal(OLD)
    assert OLD not in names(store)


@pytest.mark.parametrize("last", [False, True])
def test_what_takes_the_hidden_name_meanwhile_is_not_removed(
    store: VersionStore, state: Path, monkeypatch: pytest.MonkeyPatch, last: bool
) -> None:
    backup = store.directory / "backup"
    backup.mkdir()
    (backup / "file").write_text("root's")

    def exchange() -> None:
        (name,) = hidden(store)
        (store.directory / name).rename(store.directory / "aside")
        backup.rename(store.directory / name)

    def exchanged_and_cleared(fd: int, name: str, version: int) -> list[str]:
        exchange()
        return clear_opened(fd, name, version)

    if last:
        monkeypatch.setattr(trees, "clear_opened", exchanged_and_cleared)
        assert "not empty" in Remover(store, state).remove(OLD).unremovable[0]
        backup = store.directory / hidden(store)[0]
    else:
        during(monkeypatch, exchange)
        assert "something else" in Remover(store, state).remove(OLD).spared
        backup = store.directory / OLD
    assert (backup / "file").read_text() == "root's"
