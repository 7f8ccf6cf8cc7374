"""The account on trees that change, that are deep, mounted on, closed to us; and with processes that die."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from govma_core.disk import usage_walk
from govma_core.disk.usage import Usage, measure
from govma_core.errors import GovmaError, RunCancelled
from govma_core.process.workers import Forked
from tests.support.du import assert_is_du, du
from tests.support.rights import as_root

FILES = ("html/index.php", "html/a/style.css", "system/ee/core.php", "system/user/config/config.php", "system/b")


class World:
    """A few small versions that share files."""

    def __init__(self, root: Path) -> None:
        self.directory, self.outside = root / "www", root / "outside"
        self.directory.mkdir()
        self.outside.mkdir()
        self.names: list[str] = []

    def create(self, like: str | None = None) -> str:
        """Make a version, its files linked to those of another one but for the first."""
        name = f"v{len(self.names) + 1}"
        for number, file in enumerate(FILES):
            path = self.directory / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            if like and number:
                path.hardlink_to(self.directory / like / file)
            else:
                path.write_bytes(os.urandom(1 + 5000 * number))
        self.names.append(name)
        return name

    def link(self, master: str, other: str, file: str) -> None:
        """Do as a dedupe does with one file."""
        source, target = self.directory / master / file, self.directory / other / file
        if source.exists() and target.parent.is_dir() and master != other:
            staged = self.directory / ".staged"
            staged.hardlink_to(source)
            staged.rename(target)
            staged.unlink(missing_ok=True)

    def measure(self, workers: int = 1) -> Usage:
        return measure(self.directory, self.names, workers=workers)

    def check(self, workers: int = 1) -> Usage:
        """Measure, and hold it against du."""
        usage = self.measure(workers)
        assert_is_du(usage, self.directory)
        return usage


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return three versions that share most."""
    world = World(tmp_path)
    first = world.create()
    world.create(first)
    world.create(first)
    return world


@pytest.fixture
def deep(world: World) -> Iterator[Path]:
    """Yield a directory that is cleared at the end: pytest cannot remove what is very deep."""
    path = world.directory / "v2" / "deep"
    path.mkdir()
    yield path
    subprocess.run(["rm", "-rf", path], check=True)


def test_any_depth_with_few_descriptors(world: World, deep: Path) -> None:
    fd = os.open(deep, os.O_RDONLY)
    for level in range(2000):
        os.mkdir("d", dir_fd=fd)
        if level % 61 == 0:
            os.mkdir("side", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
        if level % 100 == 99:
            os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=fd))
    os.link(world.directory / "v1/system/b", "linked", dst_dir_fd=fd)
    os.close(fd)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + usage_walk._OPEN_DIRECTORIES + 16, before[1]))
    try:
        usage = world.measure()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert_is_du(usage, world.directory)
    assert usage.unread == 0
    assert len(os.listdir("/proc/self/fd")) == used


def test_whatever_vanishes_at_whatever_moment_is_passed_over(world: World) -> None:
    def vanish(at: int, path: Path) -> bool:
        """Measure while a tree is removed at the given step; tell whether that moment came."""
        count = 0

        def step() -> None:
            nonlocal count
            count += 1
            if count == at:
                shutil.rmtree(path)

        usage = measure(world.directory, world.names, workers=1, step=step)
        assert usage.unread == 0
        assert usage.real > 0
        assert_is_du(measure(world.directory, world.names), world.directory)
        return count >= at

    world.create("v1")
    path = world.directory / "v2"
    shutil.copytree(path, world.outside / "v2", copy_function=os.link)
    at, came = 1, True
    while came:
        came = vanish(at, path if at % 2 else path / "html")
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(world.outside / "v2", path, copy_function=os.link)
        at += 1
    assert at > 15


def test_a_version_that_vanishes_is_left_out(world: World) -> None:
    def step() -> None:
        shutil.rmtree(world.directory / "v2", ignore_errors=True)

    usage = measure(world.directory, world.names, workers=1, step=step)
    assert [version.name for version in usage.versions] == ["v1", "v3"]
    assert_is_du(usage, world.directory)


def test_directories_that_become_links_are_not_followed(world: World) -> None:
    (world.outside / "large").mkdir()
    (world.outside / "large/file").write_bytes(b"x" * 900_000)
    result = False

    def step() -> None:
        nonlocal result
        if not result:
            for version in ("v2", "v3"):
                shutil.rmtree(world.directory / version / "html")
                (world.directory / version / "html").symlink_to(world.outside / "large")
            shutil.rmtree(world.directory / "v1")
            (world.directory / "v1").symlink_to(world.outside)
        result = True

    usage = measure(world.directory, world.names, workers=1, step=step)
    assert usage.real + usage.others < 200_000
    assert_is_du(measure(world.directory, world.names), world.directory)


def test_files_are_replaced_all_the_time(world: World) -> None:
    stop = threading.Event()

    def replace() -> None:
        while not stop.is_set():
            for name in world.names:
                world.link("v1", name, "html/a/style.css")
                staged = world.directory / name / "html/.staged"
                staged.write_bytes(b"x" * 100)
                staged.rename(world.directory / name / "html/index.php")

    thread = threading.Thread(target=replace)
    thread.start()
    try:
        for _ in range(60):
            usage = measure(world.directory, world.names)
            assert [version.name for version in usage.versions] == world.names
    finally:
        stop.set()
        thread.join()
    world.check(workers=2)


def test_nothing_but_directories_is_opened(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(world.directory / "v1/html/fifo")
    (world.directory / "v1/html/link").symlink_to("/etc")
    opened: list[tuple[str | Path, int, int | None]] = []
    real = os.open

    def watch(path: str | Path, flags: int, *mode: int, dir_fd: int | None = None) -> int:
        opened.append((path, flags, dir_fd))
        return real(path, flags, *mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", watch)
    world.measure()
    below = [(path, flags) for path, flags, fd in opened if fd is not None]
    assert len(below) > 5
    assert all(flags & os.O_DIRECTORY and flags & os.O_NOFOLLOW and "/" not in str(path) for path, flags in below)
    assert [path for path, _, fd in opened if fd is None] == [world.directory]


@contextmanager
def mounted(*arguments: str | Path) -> Iterator[None]:
    result = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        pytest.skip(f"nothing can be mounted here: {result.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", arguments[-1]], check=True)


@pytest.mark.root
@as_root
def test_other_file_systems_and_files_mounted_on_files(world: World) -> None:
    inside = world.directory / "v2/system/ee"
    with mounted("-t", "tmpfs", "-o", "size=1m", "tmpfs", inside):
        (inside / "a").write_bytes(b"x" * 50_000)
        (inside / "b").hardlink_to(inside / "a")
        world.check()
        world.check(workers=2)
        with mounted("--bind", inside / "a", world.directory / "v1/html/index.php"):
            usage = world.measure()
            assert usage.real + usage.others == du(world.directory)
    world.check()


@as_root
def test_what_may_not_be_read_is_counted_and_told(world: World) -> None:
    closed = world.directory / "v2/system/user"
    (world.directory / "v3").chmod(0o700)
    closed.chmod(0o700)

    def as_nobody(answer: int) -> None:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        accounts = [world.measure(workers) for workers in (1, 2)]
        os.write(
            answer, json.dumps([[one.unread, [version.size for version in one.versions]] for one in accounts]).encode()
        )

    sizes = [
        du(world.directory / "v1"),
        du(world.directory / "v2") - du(closed),
        0,
    ]
    assert json.loads(Forked(as_nobody).read_all()) == [[2, sizes]] * 2


def test_a_killed_process_is_an_error_and_no_wrong_number(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = os.getpid()
    descend = usage_walk._Walk._descend

    def end(self: usage_walk._Walk, tree: usage_walk.TreeUsage, pending: list[str]) -> None:
        if os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        descend(self, tree, pending)

    monkeypatch.setattr(usage_walk._Walk, "_descend", end)
    with pytest.raises(GovmaError, match="killed"):
        world.measure(workers=2)


def test_a_request_to_stop_ends_everything(world: World) -> None:
    def step() -> None:
        raise RunCancelled

    def children() -> str:
        # The session may have others: the guard of its Docker engine.
        return Path(f"/proc/self/task/{os.getpid()}/children").read_text()

    used, others = os.listdir("/proc/self/fd"), children()
    for many in (1, 2):
        with pytest.raises(RunCancelled):
            measure(world.directory, world.names, workers=many, step=step)
    assert os.listdir("/proc/self/fd") == used
    assert children() == others


def test_nothing_is_forked_beside_other_threads(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a process was forked")

    versions = world.measure().versions
    monkeypatch.setattr(os, "fork", refuse)
    with pytest.raises(AssertionError):
        world.measure(workers=2)
    results: list[Usage] = []
    thread = threading.Thread(target=lambda: results.append(world.measure(workers=2)))
    thread.start()
    thread.join()
    assert [usage.versions for usage in results] == [versions]


@pytest.mark.parametrize("workers", [1, 2])
def test_links_of_what_is_no_version_count_for_no_version(world: World, workers: int) -> None:
    (world.directory / ".hidden").write_bytes(b"x" * 9000)
    (world.outside / "linked").hardlink_to(world.directory / ".hidden")
    usage = world.check(workers)
    before = {version.name: version.exclusive for version in usage.versions}
    (world.directory / ".backup").hardlink_to(world.directory / "v3/html/index.php")
    after = world.check(workers)
    freed = (world.directory / ".backup").stat().st_blocks * 512
    assert [before[version.name] - version.exclusive for version in after.versions] == [0, 0, freed]
