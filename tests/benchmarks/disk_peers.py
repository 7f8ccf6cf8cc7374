"""The programs that dedupe is compared with, and what both sides have in common when they are measured.

Each works on a set of versions of its own, written just before and so in memory. A time is that of a whole process and
of the sync of the file system after it: what was done is on the disk on both sides.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.harness import run
from tests.support.corpus import Shape, make_corpus

SHAPE = Shape()
PEERS: dict[str, tuple[str, ...]] = {
    "rdfind": ("rdfind", "-makehardlinks", "true", "-makeresultsfile", "false"),
    "jdupes": ("jdupes", "--quiet", "-r", "-L"),
    # Without -t it links nothing: the versions' files have times of their own.
    "hardlink": ("hardlink", "-q", "-t"),
}


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds that a program took with the sync after it, and bytes on the disk that it freed."""

    seconds: float
    freed: int


def require_peers() -> None:
    """RuntimeError when one is missing."""
    missing = [name for name in (*PEERS, "du", "sync") if shutil.which(name) is None]
    if missing:
        raise RuntimeError(f"{', '.join(missing)}: not installed (scripts/test-packages does it)")


def fresh_corpus(versions_dir: Path) -> Path:
    """Write the whole set."""
    make_corpus(versions_dir, SHAPE, processes=os.cpu_count() or 1)
    return versions_dir


def settle() -> None:
    """Let the file system finish with what was written and deleted before: ext4 is much slower meanwhile."""
    os.sync()
    time.sleep(5)
    os.sync()


def peer(name: str, versions_dir: Path) -> list[str]:
    """Return the command line of a peer."""
    return [*PEERS[name], str(versions_dir)]


def dedupe_alone(versions_dir: Path, state_dir: Path) -> list[str]:
    """Return the command line of the operation in a process of its own."""
    return [sys.executable, "-m", "tests.benchmarks.dedupe_alone", str(versions_dir), str(state_dir)]


def measured(command: Sequence[str], versions_dir: Path) -> Measured:
    """Run a program on the set, when the file system has come to rest."""
    # The look before brings all into memory; it changes access times of directories, and so comes before the sync.
    before = disk_usage(versions_dir)
    settle()
    began = time.perf_counter()
    run(command)
    run(["sync", "-f", str(versions_dir)])
    seconds = time.perf_counter() - began
    return Measured(seconds, before - disk_usage(versions_dir))


def disk_usage(directory: Path) -> int:
    """Return the bytes that a tree takes on the disk, hard links counted once."""
    return int(run(["du", "-s", "--block-size=1", str(directory)]).split()[0])
