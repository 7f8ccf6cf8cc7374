"""A versions directory whose versions equal one another but for a few files, and a dedupe of it as a process."""

from __future__ import annotations

import hashlib
import os
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
    """Give digest, mode, uid and gid of every file in every version."""
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
    """Give the hidden names beside the versions."""
    return [name for name in os.listdir(versions) if name.startswith(".")]
