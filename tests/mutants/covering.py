"""Which tests run which lines of the mutated files; measured by test file, and again when one of these changed."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from coverage import CoverageData

from tests.mutants.clones import PYTEST, Clone
from tests.mutants.mutations import Mutant

CONFIGURATION = """\
[run]
parallel = true
data_file = {root}/.cache/measured/data
include =
    {root}/*
context = ${{MUTANTS_TEST}}
patch = _exit, execv
disable_warnings = no-data-collected, module-not-measured, module-not-imported, already-imported, include-ignored
"""
"""Of coverage.py, for pytest and for each process that a test starts: its `.pth` file reads COVERAGE_PROCESS_START."""


@dataclass(frozen=True, slots=True)
class Judge:
    """A test that passed: its id, the seconds that it took, and the lines that it ran by their file."""

    name: str
    seconds: float
    lines: dict[str, list[int]]


def digest(paths: Iterable[Path]) -> str:
    """Return a hash of the text of files; one that is not there counts as empty."""
    return hashlib.sha256(b"\0".join(path.read_bytes() if path.exists() else b"" for path in paths)).hexdigest()


def stored(root: Path, test_file: str) -> Path:
    """Return where what was measured of a test file is written down."""
    return root / ".cache/mutants/covering" / f"{test_file}.json"


def known(root: Path, test_file: str) -> list[Judge] | None:
    """Return what was measured of a test file; None when it, or a mutated file that it runs, has changed since."""
    path = stored(root, test_file)
    if not path.exists():
        return None
    content = json.loads(path.read_text())
    if any(digest([root / name]) != was for name, was in content["digests"].items()):
        return None
    return [Judge(*test) for test in content["tests"]]


def measure(clone: Clone, test_file: str, files: list[str]) -> None:
    """Run a test file, and write down which of its tests runs which lines of `files`."""
    folder = clone.path / ".cache/measured"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    folder.chmod(0o1777)  # some tests start processes of another user
    (clone.path / ".cache/coveragerc").write_text(CONFIGURATION.format(root=clone.root))
    inside = f"{clone.root}/.cache"
    exit_code = clone.run(
        [*PYTEST, "-m", "not engine and not node", test_file],
        timeout=1800,
        COVERAGE_PROCESS_START=f"{inside}/coveragerc",
        MUTANTS_SECONDS=f"{inside}/measured/seconds",
    )
    if exit_code in (2, 3, 4):
        raise SystemExit(f"{test_file} cannot be run:\n{clone.last_words()}")
    if exit_code is None or exit_code >= 0:  # below 0 it was interrupted, and only a part was seen
        write(clone.root, test_file, files, folder)


def write(root: Path, test_file: str, files: list[str], folder: Path) -> None:
    """Write down what a run of a test file left in a folder."""
    seconds = folder / "seconds"
    outcomes = [json.loads(line) for line in seconds.read_text().splitlines()] if seconds.exists() else []
    lines: dict[str, dict[str, list[int]]] = {name: {} for name, outcome, _ in outcomes if outcome == "passed"}
    for path in folder.glob("data*"):
        data = CoverageData(str(path))
        data.read()
        measured = data.measured_files()
        for file in (file for file in files if f"{root}/{file}" in measured):
            for number, contexts in data.contexts_by_lineno(f"{root}/{file}").items():
                for name in lines.keys() & contexts:
                    lines[name].setdefault(file, []).append(number)
    tests = [
        Judge(name, took, {file: sorted(set(numbers)) for file, numbers in lines[name].items()})
        for name, _, took in outcomes
        if name in lines
    ]
    ran = {file for test in tests for file in test.lines}
    content = {
        "digests": {name: digest([root / name]) for name in sorted({test_file, *ran})},
        "tests": [[test.name, test.seconds, test.lines] for test in tests],
    }
    stored(root, test_file).parent.mkdir(parents=True, exist_ok=True)
    stored(root, test_file).write_text(json.dumps(content))


def choose(mutant: Mutant, tests: Iterable[Judge], seconds: float) -> tuple[list[Judge], int]:
    """Return the tests that run the mutant's lines, fastest first, while they fit into the seconds, and how many do.

    What runs when the module is imported is run by every test that runs anything of the file.
    """
    covering = [
        test
        for test in tests
        if (lines := test.lines.get(mutant.file)) and (mutant.on_import or not set(mutant.statement).isdisjoint(lines))
    ]
    covering.sort(key=lambda test: (test.seconds, test.name))
    chosen: list[Judge] = []
    for test in covering:
        if chosen and sum(other.seconds for other in chosen) + test.seconds > seconds:
            break
        chosen.append(test)
    return chosen, len(covering)
