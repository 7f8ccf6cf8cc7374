"""A versions directory whose versions equal one another but for a few files, and a dedupe of it as a process."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.corpus import Shape, make_corpus

SMALL = Shape(versions=6, files=250, directories=40, size=1_500_000)


def small_corpus(root: Path, shape: Shape = SMALL) -> Path:
    """Make the versions, and give their directory."""
    versions = root / "www_versions"
    make_corpus(versions, shape)
    return versions


def start_dedupe(versions: Path, state: Path) -> subprocess.Popen[bytes]:
    """Start a dedupe of the core in a process of its own, which leads a process group."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.dedupe_alone", versions, state],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        cwd=Path(__file__).parents[2],
    )


def contents(versions: Path) -> dict[str, tuple[str, int, int, int]]:
    """Return digest, mode, uid and gid of every file in every version."""
    found = {}
    for at, _, names in os.walk(versions):
        if "/.govma-" in at:
            continue
        for name in names:
            path = os.path.join(at, name)
            if not os.path.islink(path):
                info = os.stat(path)
                digest = hashlib.blake2b(Path(path).read_bytes(), digest_size=8).hexdigest()
                found[os.path.relpath(path, versions)] = digest, info.st_mode, info.st_uid, info.st_gid
    return found


def hidden(versions: Path) -> list[str]:
    """Return the hidden names beside the versions."""
    return [name for name in os.listdir(versions) if name.startswith(".")]


def separate(versions: Path, but: str = "") -> None:
    """Give every file an inode of its own again, as a copy under its name, except in the version `but`."""
    for at, _, names in os.walk(versions):
        if but and f"/{but}" in at:
            continue
        for name in names:
            path = os.path.join(at, name)
            if not os.path.islink(path) and os.lstat(path).st_nlink > 1:
                shutil.copy2(path, f"{path}~")
                info = os.stat(path)
                os.chown(f"{path}~", info.st_uid, info.st_gid)
                os.rename(f"{path}~", path)


def follow(source: Path, target: Path) -> None:
    """Make the files of a version equal to those of another, each with a new inode, while that one is written to."""
    for at, _, names in os.walk(source):
        for name in names:
            path = Path(at, name)
            twin = target / path.relative_to(source)
            if path.is_symlink() or name.endswith("~") or not twin.exists() or twin.read_bytes() == path.read_bytes():
                continue
            staged = twin.with_name(f"{name}~")
            shutil.copy2(path, staged)
            info = path.stat()
            os.chown(staged, info.st_uid, info.st_gid)
            staged.rename(twin)


# Owns every other file of a tree: what it wrote last must be what is there in the end.
_WRITER = """
import functools, json, os, random, sys, zlib
root, stop, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
rng = random.Random(seed)
paths = sorted(os.path.join(at, name) for at, _, names in os.walk(root) for name in names)
paths = [path for path in paths if not os.path.islink(path) and path[-1] != "~"]
paths = [path for path in paths if zlib.crc32(path.encode()) % 2 == seed % 2]
open = functools.partial(open, encoding="latin-1", newline="")
last = {path: open(path).read() for path in paths}
print("ready", flush=True)
count = 0
while not os.path.exists(stop):
    path = rng.choice(paths)
    count += 1
    text = f"{seed} {count} " * rng.randrange(1, 30)
    how = rng.choice(("in place", "truncate", "append", "rename"))
    before, last[path] = last[path], text
    if how == "in place":
        last[path] = text + before[len(text):]
        with open(path, "r+") as file:
            file.write(text)
    elif how == "truncate":
        with open(path, "w") as file:
            file.write(text)
    elif how == "append":
        last[path] = before + text
        with open(path, "a") as file:
            file.write(text)
    else:
        with open(path + "~", "w") as file:
            file.write(text)
        os.rename(path + "~", path)
print(json.dumps([count, last]), flush=True)
"""


def start_script(script: str, *arguments: Path | str) -> subprocess.Popen[str]:
    """Start a Python script that says `ready` when it is."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def start_writer(root: Path, stop: Path, seed: int) -> subprocess.Popen[str]:
    """Start a process that writes to half of the files below root, in every way, until `stop` is there."""
    return start_script(_WRITER, root, stop, str(seed))


def written_and_lost(writer: subprocess.Popen[str]) -> tuple[int, list[str]]:
    """Wait for a writer that was told to stop; give its writes, and the paths that read otherwise than it wrote."""
    out, errors = writer.communicate(timeout=60)
    assert (writer.returncode, errors) == (0, "")
    count, last = json.loads(out)
    return count, [path for path, text in last.items() if Path(path).read_bytes() != text.encode("latin-1")]


def equal_to_one_other(versions: Path) -> tuple[Path, Path]:
    """Return a version, and the only other one whose files are equal to its; nobody writes to that.

    A file that is linked changes in every version that shares it when it is written in place.
    """
    names = sorted(name for name in os.listdir(versions) if name.startswith("data-"))
    # The younger of the two: its files are those that are replaced.
    mine = versions / names[3]
    for at, _, files in os.walk(mine):
        for name in files:
            path = Path(at, name)
            for other in (*names[:2], *names[4:]):
                twin = versions / other / path.relative_to(mine)
                if twin.exists():
                    twin.write_bytes(f"other {other}".encode())
    return mine, versions / names[2]
