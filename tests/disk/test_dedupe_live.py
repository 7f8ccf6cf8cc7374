"""Dedupe on a site that is in use: readers see no gap, writers lose nothing, and it may be killed at any moment."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from govma_core.disk.compare import Inode, LeftAloneError, OpenFile
from govma_core.fs.walk import Directories
from tests.support.corpus import Shape
from tests.support.deduping import (
    SMALL,
    contents,
    equal_to_one_other,
    hidden,
    small_corpus,
    start_dedupe,
    start_script,
    start_writer,
    written_and_lost,
)
from tests.support.waiting import PATIENCE

READER = """
import os, sys
root, digests = sys.argv[1], {}
print("ready", flush=True)
rounds = 0
while True:
    for at, _, names in os.walk(root):
        for name in names:
            path = os.path.join(at, name)
            if os.path.islink(path):
                continue
            with open(path, "rb") as file:
                content = file.read()
            if digests.setdefault(path, content) != content:
                sys.exit(f"{path} reads otherwise")
    rounds += 1
    if os.path.exists(sys.argv[2]):
        print(rounds, flush=True)
        break
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def started() -> Iterator[Start]:
    """Yield what starts a script, and end what still runs after the test."""
    with ExitStack() as stack:

        def start(script: str, *arguments: Path | str) -> subprocess.Popen[str]:
            process = stack.enter_context(start_script(script, *arguments))
            stack.callback(process.kill)
            return process

        yield start


def finished(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, b"")


def test_a_reader_sees_no_gap_and_no_other_content(tmp_path: Path, started: Start) -> None:
    versions = small_corpus(tmp_path, Shape(versions=8, files=600, directories=60, size=3_000_000))
    before = contents(versions)
    stop = tmp_path / "stop"
    readers = [started(READER, versions / name, stop) for name in os.listdir(versions) if name.startswith("data-")][:3]
    result = start_dedupe(versions, tmp_path / "state")
    finished(result)
    stop.touch()
    for reader in readers:
        out, err = reader.communicate(timeout=PATIENCE)
        assert (reader.returncode, err) == (0, "")
        assert int(out) >= 1
    assert contents(versions) == before
    inodes = {info.st_ino for info in (os.stat(versions / path) for path in before)}
    assert len(inodes) < len(before) / 2, "something was linked"


def test_writers_lose_nothing(tmp_path: Path) -> None:
    versions = small_corpus(tmp_path)
    mine, _ = equal_to_one_other(versions)
    stop = tmp_path / "stop"
    with start_writer(mine, stop, 0) as one, start_writer(mine, stop, 1) as other:
        try:
            for _ in range(4):
                finished(start_dedupe(versions, tmp_path / "state"))
        finally:
            stop.touch()
        for writer in (one, other):
            count, lost = written_and_lost(writer)
            assert count > 100
            assert lost == []
    assert hidden(versions) == []


def test_killed_at_any_moment_it_leaves_a_sound_tree(tmp_path: Path) -> None:
    versions = small_corpus(tmp_path)
    before = contents(versions)
    began = time.monotonic()
    whole = start_dedupe(small_corpus(tmp_path / "timed"), tmp_path / "state")
    finished(whole)
    seconds = time.monotonic() - began
    for _ in range(6):
        run = start_dedupe(versions, tmp_path / "state")
        time.sleep(random.uniform(0.3, 1.0) * seconds)
        # The runner alone: its workers must not outlive it.
        run.send_signal(signal.SIGKILL)
        run.communicate(timeout=PATIENCE)
        assert contents(versions) == before
    result = start_dedupe(versions, tmp_path / "state")
    finished(result)
    assert contents(versions) == before
    assert hidden(versions) == []
    assert SMALL.versions == len(os.listdir(versions)) - 1


@pytest.mark.parametrize("how", ["open for writing", "changed while it is compared"])
def test_a_file_in_use_is_left_alone_and_named(tmp_path: Path, how: str) -> None:
    path = tmp_path / "a"
    path.write_text("content")
    root = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    inode = Inode(os.stat(path), [(0, "", "a")], fixed=False)
    if how == "open for writing":
        with path.open("r+"), pytest.raises(LeftAloneError, match="being written"):
            OpenFile(Directories([root]), inode)
    else:
        path.write_text("longer content")
        with pytest.raises(LeftAloneError, match="changed meanwhile"):
            OpenFile(Directories([root]), inode)
    os.close(root)
