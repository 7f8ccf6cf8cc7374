"""Dedupe on a site that is in use: readers see no gap, writers lose nothing, and it may be killed at any moment."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from govma_core.disk.directories import Directories
from govma_core.disk.files import Inode, LeftAloneError, OpenFile
from tests.support.corpus import Shape
from tests.support.deduping import SMALL, contents, hidden, small_corpus, start_dedupe

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

# Each writer owns its files: what it wrote last must be what is there in the end.
WRITER = """
import json, os, random, sys
root, stop, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
rng = random.Random(seed)
paths = sorted(os.path.join(at, name) for at, _, names in os.walk(root) for name in names)
paths = [path for path in paths if not os.path.islink(path)][seed % 2::2]
last = {}
print("ready", flush=True)
count = 0
while not os.path.exists(stop):
    path = rng.choice(paths)
    count += 1
    text = f"{seed} {count} " * rng.randrange(1, 30)
    how = rng.choice(("in place", "truncate", "append", "rename"))
    if how == "in place":
        with open(path, "r+") as file:
            file.write(text)
    elif how == "truncate":
        with open(path, "w") as file:
            file.write(text)
    elif how == "append":
        with open(path, "a") as file:
            file.write(text)
    else:
        with open(path + "~", "w") as file:
            file.write(text)
        os.rename(path + "~", path)
    with open(path, "rb") as file:
        last[path] = file.read().hex()
print(json.dumps(last), flush=True)
"""


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def started() -> Iterator[Start]:
    """Give what starts a script, and end what still runs after the test."""
    with ExitStack() as stack:

        def start(script: str, *arguments: Path | str) -> subprocess.Popen[str]:
            command = [sys.executable, "-c", script, *map(str, arguments)]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            stack.enter_context(process)
            stack.callback(process.kill)
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
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
    done = start_dedupe(versions, tmp_path / "state")
    finished(done)
    stop.touch()
    for reader in readers:
        out, err = reader.communicate(timeout=60)
        assert (reader.returncode, err) == (0, "")
        assert int(out) >= 1
    assert contents(versions) == before
    inodes = {info.st_ino for info in (os.stat(versions / path) for path in before)}
    assert len(inodes) < len(before) / 2, "something was linked"


def test_writers_lose_nothing(tmp_path: Path, started: Start) -> None:
    """Each version has one writer for each half of its files, so that what it wrote last is known.

    Files that are linked change in all versions that share them when one is written in place: the writers' versions
    are therefore of different content, file by file, but for those that none of them writes to.
    """
    versions = small_corpus(tmp_path)
    names = sorted(name for name in os.listdir(versions) if name.startswith("data-"))
    mine = versions / names[2]
    for at, _, files in os.walk(mine):
        for name in files:
            # The same content in one other version only, and that one is never written to.
            path = Path(at, name)
            for other in names[:2] + names[3:]:
                twin = versions / other / path.relative_to(mine)
                if twin.exists() and other != names[3]:
                    twin.write_bytes(f"other {other}".encode())
    stop = tmp_path / "stop"
    writers = [started(WRITER, mine, stop, str(seed)) for seed in (0, 1)]
    for _ in range(4):
        done = start_dedupe(versions, tmp_path / "state")
        finished(done)
    stop.touch()
    for writer in writers:
        out, err = writer.communicate(timeout=60)
        assert (writer.returncode, err) == (0, "")
        last = json.loads(out)
        assert len(last) > 20
        wrong = [path for path, content in last.items() if Path(path).read_bytes().hex() != content]
        assert wrong == []
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
        run.communicate(timeout=30)
        assert contents(versions) == before
    done = start_dedupe(versions, tmp_path / "state")
    finished(done)
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
