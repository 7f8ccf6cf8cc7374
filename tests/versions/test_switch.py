"""The versions directory and the switch: what may stand at current-version, and what a promotion does to it."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from govma_core.errors import PublishError, RefusedError, UsageError
from govma_core.fs import leases, safefs, trees
from govma_core.versions.publish import publish
from govma_core.versions.remove import sweep
from govma_core.versions.store import VersionStore
from govma_core.versions.switch import switch
from tests.support.journal import Journal
from tests.support.nesting import nest
from tests.support.pictures import entries
from tests.support.rights import as_root

OLD, NEW = "data-build--2021-09-03-00h03m29s", "data-build--2022-01-02-03h04m05s"


def make_version(directory: Path, name: str) -> Path:
    version = directory / name
    for part in ("html", "system/user/templates/portal"):
        (version / part).mkdir(parents=True)
    (version / "html/index.php").write_text(name)
    for file in ("portal/site.css", "portal/site.js", "portal/site.html"):
        (version / "system/user/templates" / file).write_text(name)
        os.utime(version / "system/user/templates" / file, (1, 1))
    return version


@pytest.fixture
def store(tmp_path: Path) -> VersionStore:
    directory = tmp_path / "www_versions"
    directory.mkdir()
    make_version(directory, OLD)
    make_version(directory, NEW)
    (directory / "current-version").symlink_to(OLD)
    return VersionStore(directory)


def names(store: VersionStore) -> set[str]:
    return set(os.listdir(store.directory))


def test_versions_are_listed_and_odd_names_left_out(store: VersionStore) -> None:
    (store.directory / f"{OLD}.bak").mkdir()
    (store.directory / "data-build--2020-01-01-00h00m00s").mkdir()
    (store.directory / "data-build--2020-01-02-00h00m00s").symlink_to(OLD)
    (store.directory / "notes.txt").write_text("keep")
    assert [(v.name, v.complete) for v in store.versions()] == [
        (NEW, True),
        (OLD, True),
        ("data-build--2020-01-01-00h00m00s", False),
    ]
    assert store.other_names() == ["data-build--2020-01-02-00h00m00s", f"{OLD}.bak", "notes.txt"]


@pytest.mark.parametrize("prefix", [NEW, "data-build--2022", "2022", "2022-01-02"])
def test_a_prefix_that_names_one_version_is_enough(store: VersionStore, prefix: str) -> None:
    assert store.find(prefix).name == NEW


def test_a_prefix_of_two_versions_names_both(store: VersionStore) -> None:
    with pytest.raises(UsageError) as raised:
        store.find("data-build--")
    assert OLD in str(raised.value)
    assert NEW in str(raised.value)


@pytest.mark.parametrize("name", ["1999", "../etc", "/etc", ".", "..", "current-version", ".hidden"])
def test_a_version_that_is_not_there_is_refused_with_the_list(store: VersionStore, name: str) -> None:
    (store.directory / ".hidden").mkdir()
    with pytest.raises(RefusedError, match=OLD):
        store.find(name)


def test_an_odd_directory_is_found_by_its_whole_name_only(store: VersionStore) -> None:
    make_version(store.directory, "hotfix")
    assert store.find("hotfix").complete
    with pytest.raises(RefusedError):
        store.find("hot")


def test_a_switch_is_a_relative_link_and_leaves_no_other_name(store: VersionStore) -> None:
    before = names(store)
    result = switch(store, NEW, None)
    assert os.readlink(store.directory / "current-version") == NEW
    assert result.previous.version == OLD
    assert names(store) == before


def test_css_and_js_are_fresh_before_the_switch_and_nothing_else_is_touched(store: VersionStore) -> None:
    templates = store.directory / NEW / "system/user/templates/portal"
    samples: list[float] = []
    began = time.time()
    switch(store, NEW, None, lambda: samples.append((templates / "site.css").stat().st_mtime))
    assert samples[0] >= began - 1
    assert (templates / "site.js").stat().st_mtime >= began - 1
    assert (templates / "site.html").stat().st_mtime == 1
    assert (store.directory / OLD / "system/user/templates/portal/site.css").stat().st_mtime == 1


def test_no_link_below_the_version_is_followed(store: VersionStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.css").write_text("x")
    os.utime(outside / "a.css", (1, 1))
    user = store.directory / NEW / "system/user"
    (user / "linked").symlink_to(outside)
    (user / "b.css").symlink_to(outside / "a.css")
    switch(store, NEW, None)
    assert (outside / "a.css").stat().st_mtime == 1


def test_readers_never_miss_the_link(store: VersionStore) -> None:
    """Guards the switch: a reader that follows the link all the time finds one whole version or the other."""
    stop = threading.Event()
    answers: set[str] = set()
    errors: list[OSError] = []

    def read() -> None:
        while not stop.is_set():
            try:
                answers.add((store.directory / "current-version/html/index.php").read_text())
            except OSError as error:
                errors.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(200):
        switch(store, NEW, None)
        switch(store, OLD, None)
    stop.set()
    reader.join()
    assert errors == []
    assert answers == {OLD, NEW}


def test_a_leftover_link_of_the_original_changes_nothing(store: VersionStore) -> None:
    (store.directory / "symlink_new_link").symlink_to(OLD)
    switch(store, NEW, None)
    assert os.readlink(store.directory / "current-version") == NEW
    assert not os.path.lexists(store.directory / OLD / NEW)


def test_a_leftover_link_of_ours_is_removed_and_a_prepared_name_is_not_followed(store: VersionStore) -> None:
    (store.directory / ".govma-link-0123456789abcdef").symlink_to("/etc")
    (store.directory / ".govma-link-hand-made").symlink_to("/etc")
    switch(store, NEW, None)
    assert ".govma-link-0123456789abcdef" not in names(store)
    assert ".govma-link-hand-made" in names(store)


@pytest.mark.parametrize("missing", ["html", "system"])
def test_an_incomplete_version_is_refused_with_the_list(store: VersionStore, missing: str) -> None:
    (store.directory / NEW / missing).rename(store.directory / NEW / "elsewhere")
    with pytest.raises(RefusedError, match=OLD):
        switch(store, NEW, None)
    assert os.readlink(store.directory / "current-version") == OLD


@pytest.mark.parametrize(
    ("kind", "problem"),
    [("missing", "is missing"), ("dangling", "is not there"), ("outside", "which is not in"), ("loop", "not there")],
)
def test_a_link_that_leads_nowhere_is_a_problem_and_replaced(
    store: VersionStore, tmp_path: Path, kind: str, problem: str
) -> None:
    link = store.directory / "current-version"
    link.unlink()
    if kind != "missing":
        targets = {"dangling": "data-build--gone", "outside": str(tmp_path), "loop": "current-version"}
        link.symlink_to(targets[kind])
    pointer = store.pointer()
    assert pointer.version is None
    assert problem in pointer.problem
    switch(store, NEW, None)
    assert store.pointer().version == NEW


@pytest.mark.parametrize("kind", ["directory", "file"])
def test_what_is_no_link_is_never_replaced(store: VersionStore, kind: str) -> None:
    link = store.directory / "current-version"
    link.unlink()
    link.mkdir() if kind == "directory" else link.write_text("by hand")
    with pytest.raises(PublishError, match="Move it away by hand"):
        switch(store, NEW, None)
    assert not link.is_symlink()


def test_an_absolute_link_into_the_directory_names_its_version(store: VersionStore) -> None:
    link = store.directory / "current-version"
    link.unlink()
    link.symlink_to(store.directory / NEW)
    assert store.pointer().version == NEW


WEB = (33, 33) if os.geteuid() == 0 else None


def publish_tree(tree: Path, store: VersionStore, name: str, **more: Any) -> bool:
    with safefs.opened_root(tree) as src, safefs.opened_root(store.directory) as dst:
        return publish(src, "data", dst, name, WEB, more.pop("step", lambda: None), **more)


@pytest.fixture(params=["same file system", "another file system", pytest.param("another mount", marks=as_root)])
def work(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Yield a directory with the tree `data`, which is the web server's, as a deploy has it before it is published."""
    work = Path("/dev/shm") / f"govma-{os.getpid()}" if request.param == "another file system" else tmp_path / "work"
    work.mkdir()
    if request.param == "another mount":
        # The device number is that of the versions, and no rename leads there all the same.
        subprocess.run(["mount", "--bind", work, work], check=True)
    try:
        version = make_version(work, "data")
        (version / "html/uploads").symlink_to("../../../uploads")
        for name, mode in (("index.php", 0o640), ("tool", 0o755), ("private", 0o600)):
            (version / "html" / name).touch()
            (version / "html" / name).chmod(mode)
        (version / "html/sticky").mkdir()
        (version / "html/sticky").chmod(0o1750)
        for path in [version, *version.rglob("*")]:
            if not path.is_symlink():
                os.utime(path, ns=(1, 1_500_000_000_123_456_789))
            if WEB:
                os.chown(path, *WEB, follow_symlinks=False)
        yield work
    finally:
        if request.param == "another mount":
            subprocess.run(["umount", work], check=True)
        shutil.rmtree(work)


def is_copied(work: Path, store: VersionStore) -> bool:
    with safefs.opened_root(work) as here, safefs.opened_root(store.directory) as there:
        return safefs.mount_of(here) != safefs.mount_of(there)


PUBLISHED = "data-build--2023-01-01-00h00m00s"


def test_a_tree_is_published_whole(store: VersionStore, work: Path) -> None:
    """Guards owners, modes and times, also where the tree has to be copied; and the env file, which is for few."""
    before, was_copied = entries(work / "data"), is_copied(work, store)
    assert publish_tree(work, store, PUBLISHED) is was_copied
    assert entries(store.directory / PUBLISHED) == before
    assert not (work / "data").exists()
    assert not [entry for entry in names(store) if entry.startswith(".")]


def test_what_is_still_to_be_done_to_a_tree_is_done_beside_the_versions(store: VersionStore, work: Path) -> None:
    """Guards the manifest and the links to earlier versions: neither can be made on another file system."""
    places = []

    def prepare(fd: int) -> None:
        places.append(Path(os.readlink(f"/proc/self/fd/{fd}")))
        (places[-1] / "html/prepared").touch()
        hidden = [name for name in names(store) if name.startswith(".")]
        assert [stat.S_IMODE((store.directory / name).stat().st_mode) for name in hidden] in ([], [0o1700])

    was_copied = is_copied(work, store)
    publish_tree(work, store, PUBLISHED, prepare=prepare)
    assert (store.directory / PUBLISHED / "html/prepared").exists()
    assert places[-1].is_relative_to(store.directory) is was_copied


def test_a_tree_whose_publication_is_given_up_stays_where_it_was(store: VersionStore, work: Path) -> None:
    before, there = entries(work / "data"), names(store)

    def fail(*arguments: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    for more in ({"prepare": fail}, {"step": fail}) if is_copied(work, store) else ({"prepare": fail},):
        with pytest.raises(OSError, match="Input/output error"):
            publish_tree(work, store, PUBLISHED, **more)
        assert entries(work / "data") == before
        assert names(store) == there


@pytest.mark.parametrize("kind", ["directory", "empty directory", "file", "link"])
def test_a_name_that_is_taken_is_not_touched(store: VersionStore, tmp_path: Path, kind: str) -> None:
    make_version(tmp_path / "work", "data")
    path = store.directory / PUBLISHED
    if kind == "directory":
        make_version(store.directory, PUBLISHED)
    elif kind == "empty directory":
        path.mkdir()
    elif kind == "file":
        path.write_text("mine")
    else:
        path.symlink_to(tmp_path)
    before = path.lstat()
    with pytest.raises(PublishError, match="Start the deploy again"):
        publish_tree(tmp_path / "work", store, PUBLISHED)
    assert path.lstat().st_ino == before.st_ino
    assert (tmp_path / "work/data").is_dir()


def test_an_interrupted_copy_is_swept_and_hand_made_hidden_names_are_kept(store: VersionStore) -> None:
    make_version(store.directory, ".govma-incoming-0123456789abcdef")
    (store.directory / ".govma-incoming-0123456789abcdef").chmod(0o1700)
    make_version(store.directory, ".mine")
    with safefs.opened_root(store.directory) as fd:
        assert [leftover.name for leftover in sweep(fd)] == [".govma-incoming-0123456789abcdef"]
    assert ".mine" in names(store)


def test_a_cms_that_writes_in_the_version_meanwhile_does_not_stop_the_switch(store: VersionStore) -> None:
    cache = store.directory / NEW / "system/user/cache"
    cache.mkdir()
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            (cache / "portal").mkdir(exist_ok=True)
            (cache / "portal/a.css").write_text("x")
            shutil.rmtree(cache / "portal")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(300):
            switch(store, NEW, None)
    finally:
        stop.set()
        writer.join()


def test_a_file_that_is_held_does_not_hold_up_the_switch(store: VersionStore) -> None:
    """Guards rollbacks from the web server's user, who can take a lease of each of its files."""
    user = store.directory / NEW / "system/user"
    (user / "held.css").write_text("x")
    (user / "free.css").write_text("x")
    os.utime(user / "free.css", (1, 1))
    leases.ignore_breaks()
    with (user / "held.css").open("r+") as file:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        result = switch(store, NEW, None)
    assert store.pointer().version == NEW
    assert (result.fresh.stale, "held.css" in result.fresh.why) == (1, True)
    assert (user / "free.css").stat().st_mtime > 1


def test_folders_without_end_do_not_stop_the_switch(store: VersionStore) -> None:
    nest(store.directory / NEW / "system/user", 1200)
    switch(store, NEW, None)
    assert store.pointer().version == NEW
    with safefs.opened_root(store.directory) as fd:
        trees.remove(fd, NEW)
    assert NEW not in names(store)


def test_a_version_is_on_the_disk_before_it_has_its_name(
    store: VersionStore, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(monkeypatch)
    publish_tree(work, store, PUBLISHED)
    assert journal.unsafe(lambda path: path.parent == store.directory and path.name == PUBLISHED) == ([PUBLISHED], [])
    journal.calls.clear()
    switch(store, PUBLISHED, None)
    assert journal.unsafe(lambda path: path.name == "current-version") == (["current-version"], [])
