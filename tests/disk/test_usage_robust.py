"""The account on trees that change, that are deep, mounted on, closed to us; and with processes that die."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from govma_core.disk import usage_walk
from govma_core.disk.usage import measure
from govma_core.errors import RunCancelled
from govma_core.process.workers import Forked
from tests.support.du import assert_is_du, du
from tests.support.rights import as_root
from tests.support.usage_world import World, numbers

pytestmark = pytest.mark.usefixtures("short_margin")


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
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + usage_walk.DEEPEST + 16, before[1]))
    try:
        usage = world.fresh()
        cached = world.measure()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert_is_du(usage, world.directory)
    assert numbers(cached) == numbers(usage)
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

        usage = measure(world.directory, world.names, current=None, cache_dir=None, workers=1, step=step)
        assert usage.unread == 0
        assert usage.real > 0
        assert_is_du(measure(world.directory, world.names, current=None, cache_dir=None), world.directory)
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

    usage = measure(world.directory, world.names, current="v1", cache_dir=world.cache, workers=1, step=step)
    assert [found.name for found in usage.versions] == ["v1", "v3"]
    assert_is_du(usage, world.directory)


def test_directories_that_become_links_are_not_followed(world: World) -> None:
    (world.outside / "large").mkdir()
    (world.outside / "large/file").write_bytes(b"x" * 900_000)
    done = False

    def step() -> None:
        nonlocal done
        if not done:
            for version in ("v2", "v3"):
                shutil.rmtree(world.directory / version / "html")
                (world.directory / version / "html").symlink_to(world.outside / "large")
            shutil.rmtree(world.directory / "v1")
            (world.directory / "v1").symlink_to(world.outside)
        done = True

    usage = measure(world.directory, world.names, current=None, cache_dir=None, workers=1, step=step)
    assert usage.real + usage.others < 200_000
    assert_is_du(measure(world.directory, world.names, current=None, cache_dir=None), world.directory)


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
            usage = measure(world.directory, world.names, current=None, cache_dir=world.cache)
            assert [found.name for found in usage.versions] == world.names
    finally:
        stop.set()
        thread.join()
    world.check(workers=2)


def test_a_file_replaced_between_listing_and_asking(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    target = world.directory / "v2/html/index.php"
    real = os.scandir

    @contextmanager
    def scandir(fd: int) -> Iterator[Iterator[os.DirEntry[str]]]:
        with real(fd) as entries:
            yield iter(list(entries))
        if os.readlink(f"/proc/self/fd/{fd}") == str(target.parent):
            monkeypatch.setattr(os, "scandir", real)
            world.link("v1", "v2", "html/index.php")

    monkeypatch.setattr(os, "scandir", scandir)
    usage = measure(world.directory, ["v3", "v2", "v1"], current=None, cache_dir=None, workers=1)
    assert os.scandir is real
    assert usage.versions == measure(world.directory, ["v3", "v2", "v1"], current=None, cache_dir=None).versions
    assert usage.real == world.fresh().real


def test_nothing_but_directories_is_opened(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(world.directory / "v1/html/fifo")
    (world.directory / "v1/html/link").symlink_to("/etc")
    world.current = "v3"
    world.measure()
    opened: list[tuple[str | Path, int, int | None]] = []
    real = os.open

    def watch(path: str | Path, flags: int, *given: int, dir_fd: int | None = None) -> int:
        opened.append((path, flags, dir_fd))
        return real(path, flags, *given, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", watch)
    for sealed in (False, True):
        # A walk of all, and a look at the seals.
        opened.clear()
        measure(world.directory, world.names, current="v3", cache_dir=world.cache if sealed else None, workers=1)
        below = [(path, flags) for path, flags, fd in opened if fd is not None]
        assert len(below) > 5
        assert all(flags & os.O_DIRECTORY and flags & os.O_NOFOLLOW and "/" not in str(path) for path, flags in below)
        assert sealed == any(flags & os.O_PATH == os.O_PATH for _, flags in below)
        assert [path for path, _, fd in opened if fd is None and not str(path).startswith(str(world.cache))] == [
            world.directory
        ]


@contextmanager
def mounted(*arguments: str | Path) -> Iterator[None]:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
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
        config = world.directory / "v1/html/index.php"
        with mounted("--bind", inside / "a", config):
            # d_ino tells the file below, stat the one above.
            for many in (1, 2):
                usage = measure(world.directory, world.names, current=None, cache_dir=None, workers=many)
                assert usage.real + usage.others == du(world.directory)
                assert usage.versions[0].size == du(world.directory / "v1")
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
        found = [
            measure(world.directory, world.names, current=None, cache_dir=world.cache, workers=many) for many in (1, 2)
        ]
        os.write(answer, json.dumps([[one.unread, [part.size for part in one.versions]] for one in found]).encode())

    sizes = [
        du(world.directory / "v1"),
        du(world.directory / "v2") - du(closed) + closed.stat().st_blocks * 512,
        (world.directory / "v3").stat().st_blocks * 512,
    ]
    assert json.loads(Forked(as_nobody).read_all()) == [[2, sizes]] * 2
    assert not world.cache.exists()


@pytest.mark.parametrize("moment", ["at once", "half", "silent"])
def test_the_work_of_a_killed_process_is_done_again(world: World, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    parent = os.getpid()
    real = usage_walk.pack_found

    def pack(found: object) -> bytes:
        block = real(found)  # type: ignore[arg-type]
        return block if os.getpid() == parent else block[: {"half": len(block) // 2}.get(moment, 0)]

    def version(self: usage_walk.Walker, name: str, bit: int) -> object:
        if os.getpid() != parent and moment == "at once":
            os.kill(os.getpid(), signal.SIGKILL)
        return real_walk(self, name, bit)

    real_walk = usage_walk.Walker.version
    monkeypatch.setattr(usage_walk.Walker, "version", version)
    monkeypatch.setattr(usage_walk, "pack_found", pack)
    # The other process has its share only when this one waits a little.
    usage = measure(
        world.directory,
        world.names,
        current=None,
        cache_dir=None,
        workers=3,
        step=lambda: time.sleep(0.005),
    )
    assert numbers(usage) == numbers(world.fresh())
    assert_is_du(usage, world.directory)


def test_a_request_to_stop_ends_everything(world: World) -> None:
    def step() -> None:
        raise RunCancelled

    def children() -> str:
        # The session may have others: the guard of its Docker engine.
        return Path(f"/proc/self/task/{os.getpid()}/children").read_text()

    used, others = os.listdir("/proc/self/fd"), children()
    for many in (1, 2):
        with pytest.raises(RunCancelled):
            measure(world.directory, world.names, current=None, cache_dir=world.cache, workers=many, step=step)
    assert os.listdir("/proc/self/fd") == used
    assert children() == others
    assert not world.cache.exists()


def test_nothing_is_forked_beside_other_threads(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a process was forked")

    truth = numbers(world.fresh())
    monkeypatch.setattr(usage_walk, "Forked", refuse)
    with suppress(AssertionError):
        measure(world.directory, world.names, current=None, cache_dir=None, workers=2)
        pytest.fail("two processes do not fork")
    found = []
    thread = threading.Thread(
        target=lambda: found.append(measure(world.directory, world.names, current=None, cache_dir=None, workers=2))
    )
    thread.start()
    thread.join()
    assert [numbers(usage) for usage in found] == [truth]


@pytest.mark.parametrize("walker", ["this process", "the other"])
def test_links_of_what_is_no_version_are_no_versions_whoever_meets_them(
    world: World, monkeypatch: pytest.MonkeyPatch, walker: str
) -> None:
    (world.directory / ".hidden").write_bytes(b"x" * 9000)
    (world.outside / "linked").hardlink_to(world.directory / ".hidden")
    parent = os.getpid()
    rest = usage_walk.Walker.rest
    taken = usage_walk.Survey._taken

    def taken_by(self: usage_walk.Survey, taking: int) -> Iterator[str]:
        ours = (os.getpid() == parent) == (walker == "this process")
        return taken(self, taking) if ours else iter(())

    def only_there(self: usage_walk.Walker, versions: frozenset[str]) -> object:
        assert (os.getpid() == parent) == (walker == "this process")
        return rest(self, versions)

    monkeypatch.setattr(usage_walk.Survey, "_taken", taken_by)
    monkeypatch.setattr(usage_walk.Walker, "rest", only_there)
    usage = measure(world.directory, world.names, current=None, cache_dir=None, workers=2)
    assert_is_du(usage, world.directory)
