"""Which test files run which lines of the mutated files."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from coverage import CoverageData
from coverage.exceptions import CoverageException

from tests.mutants.clones import Clone
from tests.mutants.mutations import Mutant

_CONFIGURATION = """\
[run]
parallel = true
data_file = {folder}/data
include = {files}
patch = _exit, execv
disable_warnings = no-data-collected, module-not-measured, module-not-imported, already-imported, include-ignored
"""
"""Of coverage.py, for pytest and for each process that a test starts: its `.pth` file reads COVERAGE_PROCESS_START."""


@dataclass(frozen=True, slots=True)
class Covering:
    """A test file, the seconds that it takes, and the lines that it runs by their file."""

    name: str
    seconds: float
    lines: dict[str, list[int]]


def digest(root: Path, names: Iterable[str]) -> str:
    """Return a hash of the files' text; one that is not there counts as empty."""
    paths = [root / name for name in names]
    return hashlib.sha256(b"\0".join(path.read_bytes() if path.exists() else b"" for path in paths)).hexdigest()


def recall(root: Path, test_file: str) -> Covering | None:
    """Return what was measured of a test file; None when it, or a file that it runs, has changed since."""
    path = root / ".cache/mutants/covering" / test_file
    if not path.exists():
        return None
    hashed, seconds, lines = json.loads(path.read_text())
    return Covering(test_file, seconds, lines) if hashed == digest(root, [test_file, *lines]) else None


def measure(clone: Clone, test_file: str, files: Iterable[str]) -> None:
    """Run a test file, and write down which lines of `files` it runs; not when a test fails in the sandbox."""
    folder, inside = clone.path / ".cache/measured", clone.root / ".cache/measured"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    folder.chmod(0o1777)  # some tests start processes of another user
    include = ", ".join(f"{clone.root}/{file}" for file in files)
    (folder / "configuration").write_text(_CONFIGURATION.format(folder=inside, files=include))
    began = time.monotonic()
    exit_code = clone.run_tests([test_file], 1800, COVERAGE_PROCESS_START=f"{inside}/configuration")
    if exit_code not in (0, 5):  # 5: all of its tests need an engine
        print(f"{test_file} is left out, as it fails without a mutant:\n{clone.output()}", file=sys.stderr)
        return
    seconds = time.monotonic() - began
    lines: dict[str, set[int]] = {}
    for path in folder.glob("data.*"):
        with suppress(CoverageException):  # its process was killed while it wrote
            data = CoverageData(str(path))
            data.read()
            for file in files:
                if numbers := data.lines(f"{clone.root}/{file}"):
                    lines.setdefault(file, set()).update(numbers)
    path = clone.root / ".cache/mutants/covering" / test_file
    path.parent.mkdir(parents=True, exist_ok=True)
    hashed = digest(clone.root, [test_file, *lines])
    path.write_text(json.dumps([hashed, seconds, {file: sorted(numbers) for file, numbers in lines.items()}]))


def choose(mutant: Mutant, test_files: Iterable[Covering], seconds: float) -> tuple[list[Covering], int]:
    """Return the test files to run, in their order, and how many run the mutant's lines.

    First those of the same feature (tests/fs for govma_core/fs), the fastest first, while they fit into the seconds.
    """
    covering = [each for each in test_files if not set(mutant.statement).isdisjoint(each.lines.get(mutant.file, ()))]
    covering.sort(key=lambda each: (each.name.split("/")[1] not in mutant.file.split("/"), each.seconds))
    chosen: list[Covering] = []
    for each in covering:
        if not chosen or sum(other.seconds for other in chosen) + each.seconds <= seconds:
            chosen.append(each)
    return chosen, len(covering)
