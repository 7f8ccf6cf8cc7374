"""What a process opens in a tree is seen, however it goes about it."""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import threading
from pathlib import Path

import pytest

from govma_core.building import read_watch
from govma_core.building.read_watch import ReadWatch
from govma_core.building.tree_files import TreeFiles
from govma_core.fs import safefs

FILES = ("package.json", "src/a.css", "src/b.css", "src/deep/c.css", "run.sh", "other/d.css")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (*FILES, ".git/HEAD", ".git/refs/heads/main", ".git/objects/12/34", "node_modules/package/index.js"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{name}\n")
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "run.sh").chmod(0o755)
    (tmp_path / "link").symlink_to("src/b.css")
    return tmp_path


def opened_by(tree: Path, command: str) -> frozenset[str]:
    """Run a command in the tree; return what it opened."""
    with safefs.opened_root(tree) as fd:
        watch = ReadWatch(fd, TreeFiles.of(fd).paths)
        subprocess.run(["bash", "-c", f"true < .; {command}"], cwd=tree, check=True, stdout=subprocess.DEVNULL)
        opened = watch.end()
    assert watch.problem == ""
    assert "" in opened
    return opened - {""}


@pytest.mark.parametrize(
    ("command", "opened"),
    [
        ("true", set()),
        ("ls > /dev/null", set()),
        ("cat src/a.css", {"src/a.css"}),
        ("cat link", {"src/b.css"}),
        ("ls src", {"src"}),
        ("cd src/deep && cat c.css", {"src/deep/c.css"}),
        ("find . -name '*.css'", {"src", "src/deep", "other", ".git"}),
        ("./run.sh", {"run.sh"}),
        ("echo more >> src/a.css", {"src/a.css"}),
        ("mv src elsewhere; cat elsewhere/deep/c.css", {"src/deep/c.css"}),
        ("cat .git/HEAD", {".git"}),
        ("cat .git/refs/heads/main", {".git"}),
        ("cat node_modules/package/index.js", set()),
        ("echo x > src/made; cat src/made; mkdir made-folder; ls made-folder", set()),
        ("stat src/a.css; test -e src/none; rm src/a.css", set()),
    ],
)
def test_what_is_opened_is_seen(tree: Path, command: str, opened: set[str]) -> None:
    assert opened_by(tree, command) == opened


def test_a_thousand_files_are_all_seen(tree: Path) -> None:
    for number in range(3000):
        (tree / f"src/{number}.css").write_text("x")
    opened = opened_by(tree, "cat src/*.css src/deep/*.css")
    assert {f"src/{number}.css" for number in range(3000)} < opened


def test_more_than_the_kernel_keeps_is_a_problem(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ReadWatch, "_read", lambda watch: None)
    with safefs.opened_root(tree) as fd:
        watch = ReadWatch(fd, TreeFiles.of(fd).paths)
        monkeypatch.undo()
        limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
        for number in range(limit + 2):
            # Two names in turn: what is like the last one is not queued again.
            os.close(os.open(tree / ("src/a.css", "src/b.css")[number % 2], os.O_RDONLY))
        os.close(os.open(tree / "src/deep/c.css", os.O_RDONLY))
        watch._thread.join()
        watch._take(os.read(watch._inotify, 1 << 30))
        opened = watch.end()
    assert "src/deep/c.css" not in opened
    assert watch.problem == "queue"


@pytest.mark.parametrize(
    ("function", "number", "problem"),
    [
        ("inotify_init1", errno.EMFILE, "instances"),
        ("inotify_add_watch", errno.ENOSPC, "watches"),
        ("inotify_init1", errno.ENOSYS, "unwatched"),
    ],
)
def test_a_machine_that_cannot_watch_is_told(
    tree: Path, monkeypatch: pytest.MonkeyPatch, function: str, number: int, problem: str
) -> None:
    class Refusing:
        def __getattr__(self, name: str) -> object:
            if name != function:
                return getattr(ctypes.CDLL(None, use_errno=True), name)

            def refuse(*arguments: object) -> int:
                ctypes.set_errno(number)
                return -1

            return refuse

    monkeypatch.setattr(read_watch, "_libc", Refusing())
    with safefs.opened_root(tree) as fd:
        watch = ReadWatch(fd, TreeFiles.of(fd).paths)
        assert watch.end() == frozenset()
    assert watch.problem == problem


def test_a_build_of_which_nothing_is_seen_is_a_problem(tree: Path) -> None:
    with safefs.opened_root(tree) as fd:
        watch = ReadWatch(fd, TreeFiles.of(fd).paths)
        watch.end()
    assert watch.problem == "unseen"


def test_a_watch_that_cannot_be_set_up_leaves_nothing(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(watch: ReadWatch, fd: int, folder: str) -> None:
        raise OSError("no more descriptors")

    monkeypatch.setattr(ReadWatch, "_add", fail)
    before = (len(os.listdir("/proc/self/fd")), threading.active_count())
    with safefs.opened_root(tree) as fd, pytest.raises(OSError, match="no more"):
        ReadWatch(fd, ())
    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before
