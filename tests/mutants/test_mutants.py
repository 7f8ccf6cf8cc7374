"""What could be wrong without a sign in `make mutants`: which tests judge, what is kept as equivalent, the score."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections import Counter
from pathlib import Path

import pytest

from tests.mutants import results
from tests.mutants.__main__ import ROOT, run_mutant
from tests.mutants.clones import Clone
from tests.mutants.covering import Judge, choose, known, measure
from tests.mutants.mutations import Mutant, mutants_of, sample
from tests.support.rights import as_root

SAMPLE = '''\
"""Sample."""
LEAST = 3


def greater(number: int | None) -> bool:
    if number is None:
        raise ValueError(tr("{count} is no number", count=1 + 1))
    return number > LEAST


def said() -> None:
    print(greater(4))


if __name__ == "__main__":
    said()
'''
JUDGES = """\
import subprocess, sys, time
import sample

def test_other():
    assert sample.LEAST

def test_in_process():
    time.sleep(0.2)
    assert sample.greater(4) and not sample.greater(3)

def test_by_a_process():
    assert subprocess.check_output([sys.executable, sample.__file__], cwd="/") == b"True\\n"

def test_that_fails():
    sample.greater(None)
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny tree with one file and its tests."""
    (tmp_path / "sample.py").write_text(SAMPLE)
    (tmp_path / "tests/mutants").mkdir(parents=True)
    shutil.copy(ROOT / "tests/mutants/plugin.py", tmp_path / "tests/mutants")
    (tmp_path / "tests/test_sample.py").write_text(JUDGES)
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    (tmp_path / ".gitignore").write_text(".venv\n.cache\n")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    monkeypatch.setattr("tests.mutants.__main__.ROOT", tmp_path)
    return tmp_path


def one(root: Path, becomes: str, text: str = "") -> Mutant:
    """Return the mutant that makes this of a line that starts so."""
    alike = [mutant for mutant in mutants_of("sample.py", root) if mutant.text.startswith(text)]
    (mutant,) = [mutant for mutant in alike if mutant.change(root)[1] == becomes]
    return mutant


def test_what_is_changed_and_what_only_makes_noise(root: Path) -> None:
    assert {mutant.change(root)[1] for mutant in mutants_of("sample.py", root)} == {
        "LEAST = 4",
        "LEAST = 2",
        "if not (number is None):",
        "if number is not None:",
        "pass",
        "return number >= LEAST",
        'if not (__name__ == "__main__"):',
        'if __name__ != "__main__":',
    }


def test_a_sample_is_the_same_when_lines_are_put_in_above(root: Path) -> None:
    before = {mutant.name for mutant in sample(mutants_of("sample.py", root), 3)}
    (root / "sample.py").write_text("# One line more.\n" + SAMPLE)
    assert {mutant.name for mutant in sample(mutants_of("sample.py", root), 3)} == before
    assert len(before) == 3


@as_root
@pytest.mark.root
@pytest.mark.timeout(180)
def test_a_mutant_is_judged_by_the_tests_that_run_its_line_in_any_process(root: Path) -> None:
    clone = Clone(root, "first")
    clone.fill()
    measure(clone, "tests/test_sample.py", ["sample.py"])
    judges = known(root, "tests/test_sample.py")
    assert judges is not None
    both = ["tests/test_sample.py::test_by_a_process", "tests/test_sample.py::test_in_process"]
    in_function, on_import = one(root, "return number >= LEAST"), one(root, "LEAST = 2")
    for mutant in (in_function, on_import):
        assert sorted(test.name for test in choose(mutant, judges, 60)[0]) == both
    assert choose(one(root, 'if __name__ != "__main__":'), judges, 60)[1] == 2
    assert choose(one(root, "pass", "raise"), judges, 60) == ([], 0)

    by_process = [test for test in judges if test.name == both[0]]
    assert run_mutant(clone, in_function, judges, threading.Event())[:3] == ["killed", 2, 2]
    assert run_mutant(clone, in_function, by_process, threading.Event())[:3] == ["survived", 1, 1]
    assert run_mutant(clone, one(root, "LEAST = 4"), by_process, threading.Event())[:3] == ["killed", 1, 1]
    assert run_mutant(clone, one(root, "pass", "raise"), judges, threading.Event())[:3] == ["survived", 0, 0]
    assert (root / "sample.py").read_text() == (clone.path / "sample.py").read_text() == SAMPLE

    (root / "sample.py").write_text(SAMPLE + "\n")
    assert known(root, "tests/test_sample.py") is None


def test_the_fastest_run_first_while_they_fit() -> None:
    mutant = Mutant("a.py", "f", 5, "x", "Negate", 0, 0, range(4, 6), False)
    tests = [
        Judge("slow", 3, {"a.py": [5]}),
        Judge("quick", 1, {"a.py": [4, 9]}),
        Judge("other line", 0.1, {"a.py": [6]}),
        Judge("other file", 0.1, {"b.py": [5]}),
        Judge("slowest", 50, {"a.py": [5]}),
    ]
    chosen, covers = choose(mutant, tests, 10)
    assert ([test.name for test in chosen], covers) == (["quick", "slow"], 3)
    assert [test.name for test in choose(mutant, tests[-1:], 10)[0]] == ["slowest"]


def test_an_equivalent_is_known_by_its_text_and_a_stale_one_is_an_error(root: Path) -> None:
    (root / "equivalent.toml").write_text(
        '[[equivalent]]\nfile = "sample.py"\nfunction = "greater"\nline = "return number > LEAST"\n'
        'becomes = "return number >= LEAST"\nreason = "none is equal"\n'
    )
    entries = results.equivalents(root / "equivalent.toml")
    (root / "sample.py").write_text("# One line more.\n" + SAMPLE)
    assert list(results.match(entries, mutants_of("sample.py", root), root)) == [one(root, "return number >= LEAST")]
    (root / "sample.py").write_text(SAMPLE.replace("number > LEAST", "LEAST < number"))
    with pytest.raises(results.StaleError, match=r"sample\.py, greater"):
        results.match(entries, mutants_of("sample.py", root), root)


def test_the_score_counts_what_was_run_and_changes_something() -> None:
    outcomes = Counter(killed=199, survived=1, equivalent=7, mutants=400)
    rows = results.table({"group": {"a.py": outcomes, "b.py": Counter(mutants=9)}})
    assert rows[2] == "| group | `a.py` | 199 | 1 | 7 | 207 of 400 | 99 % |"
    assert rows[3] == "| group | `b.py` | 0 | 0 | 0 | 0 of 9 | - |"
    assert rows[-1] == "| **all** |  | 199 | 1 | 7 | 207 of 409 | 99 % |"
    assert results.read(rows[2]) == outcomes
