"""What could be wrong without a sign in `make mutants`: which tests are run, what counts as equivalent, the score."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.mutants import table
from tests.mutants.__main__ import ROOT, main
from tests.mutants.clones import Clone
from tests.mutants.covering import Covering, choose, recall
from tests.mutants.mutations import Mutant, mutants_of, sample
from tests.support.rights import as_root

SAMPLE = """\
LEAST = 3

@frozen(True)
def greater(number: int | None) -> bool | None:
    return number > LEAST

def refuse():
    raise ValueError
"""
# Only in a process that it starts does it run a line of a function.
TESTS = """\
import os, socket, subprocess, sys
import pytest

def test_by_a_process():
    assert subprocess.check_output([sys.executable, "-c", "import sample; print(sample.greater(4))"]) == b"True\\n"

def test_nothing_else_is_reached():
    assert os.getppid() == 1
    with pytest.raises(OSError, match="Read-only"):
        open("OUTSIDE", "w")
    assert set(os.listdir("/run")) <= {"mount"}
    assert [name for _, name in socket.if_nameindex()] == ["lo"]
"""
EQUIVALENT = """\
[[equivalent]]
file = "sample.py"
function = "greater"
line = "return number > LEAST"
becomes = "return number >= LEAST"
reason = "none is equal"
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tiny tree with one file, its tests, and some that fail."""
    (tmp_path / "sample.py").write_text(SAMPLE.replace("@frozen(True)\n", ""))
    for folder in ("tests/fs", "tests/cli", "tests/mutants"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "tests/fs/test_sample.py").write_text(TESTS.replace("OUTSIDE", "/var/tmp/mutants-reach-this"))
    (tmp_path / "tests/cli/test_that_fails.py").write_text("import sample\ndef test_fails(): sample.none")
    (tmp_path / "tests/mutants/equivalent.toml").write_text(EQUIVALENT)
    (tmp_path / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\nmarkers = ["engine", "node"]\npythonpath = "."\n'
    )
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    return tmp_path


@as_root
@pytest.mark.root
def test_mutants_are_run_by_the_tests_that_run_their_lines_in_any_process(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main([], root, {"one": ["sample.py"]})
    results = (root / "tests/mutants/RESULTS.md").read_text()
    assert [row for row in results.splitlines() if row.startswith("| one")] == [
        "| one | `sample.py` | 1 | 2 | 1 | 4 | 33 % |",
        "| one | `sample.py:1`  |  | 1 |  |  | `` LEAST = 3 `` becomes `` LEAST = 2 `` (1 of 1 test files run) |",
        "| one | `sample.py:4` greater |  |  | 1 |  | `` return number > LEAST `` becomes "
        "`` return number >= LEAST ``: none is equal |",
        "| one | `sample.py:7` refuse |  | 1 |  |  | `` raise ValueError `` becomes "
        "`` pass `` (0 of 0 test files run) |",
    ]

    for clone in (root / ".cache/mutants/first", root / ".cache/mutants/second"):
        assert (clone / "sample.py").read_text() == (root / "sample.py").read_text()

    # Nothing is run a second time, until something has changed.
    covering = recall(root, "tests/fs/test_sample.py")
    assert covering is not None
    assert covering.lines == {"sample.py": [1, 3, 4, 6]}
    (root / "tests/cli/test_that_fails.py").unlink()
    monkeypatch.delattr(Clone, "run_tests")
    main([], root, {"one": ["sample.py"]})
    assert (root / "tests/mutants/RESULTS.md").read_text() == results
    with (root / "sample.py").open("a") as file:
        file.write("\n")
    assert recall(root, "tests/fs/test_sample.py") is None


def test_what_is_changed(root: Path) -> None:
    (root / "sample.py").write_text(SAMPLE + "\nif LEAST and not greater(\n    9\n):\n    refuse(\n    )\n")
    changes = [(mutant.line, mutant.statement, *mutant.key[2:]) for mutant in mutants_of(root, "sample.py")]
    if_lines, condition = range(10, 13), "if LEAST and not greater("
    assert changes == [
        (1, range(1, 2), "LEAST = 3", "LEAST = 2"),
        (1, range(1, 2), "LEAST = 3", "LEAST = 4"),
        (5, range(5, 6), "return number > LEAST", "return number >= LEAST"),
        (8, range(8, 9), "raise ValueError", "pass"),
        (10, if_lines, condition, "if LEAST and greater("),
        (10, if_lines, f"{condition} 9", f"{condition} 10"),
        (10, if_lines, f"{condition} 9", f"{condition} 8"),
        (10, if_lines, condition, "if LEAST or not greater("),
        (10, if_lines, f"{condition} 9 ):", "if not (LEAST and not greater( 9 )):"),
        (13, range(13, 15), "refuse( )", "pass"),
    ]


def test_a_sample_is_the_same_when_lines_are_put_in_above(root: Path) -> None:
    before = [mutant.key for mutant in sample(mutants_of(root, "sample.py"), 3)]
    (root / "sample.py").write_text("# One line more.\n" + SAMPLE)
    assert [mutant.key for mutant in sample(mutants_of(root, "sample.py"), 3)] == before
    assert len(before) == 3


def test_tests_of_the_feature_run_first_and_the_fastest_of_them_while_they_fit() -> None:
    mutant = Mutant(("core/fs/a.py", "f", "x", "y"), 5, "", range(4, 6))
    lines = {"core/fs/a.py": [5]}
    feature = [Covering("tests/fs/slow", 30, lines), Covering("tests/fs/quick", 20, lines)]
    others = [Covering("tests/cli/slow", 11, lines), Covering("tests/cli/quick", 9, lines)]
    elsewhere = [Covering("tests/fs/line", 1, {"core/fs/a.py": [6]}), Covering("tests/fs/file", 1, {"b.py": [5]})]
    chosen, number = choose(mutant, [*elsewhere, *others, *feature], 60)
    assert [each.name for each in chosen] == ["tests/fs/quick", "tests/fs/slow", "tests/cli/quick"]
    assert number == 4
    assert choose(mutant, feature, 1) == (feature[1:], 2)
    assert choose(mutant, elsewhere, 60) == ([], 0)


def test_an_equivalent_is_known_by_its_text_and_a_stale_one_is_an_error(root: Path) -> None:
    reasons = table.equivalents(root / "tests/mutants/equivalent.toml")
    (root / "sample.py").write_text("# One line more.\n" + SAMPLE)
    table.check(reasons, "sample.py", mutants_of(root, "sample.py"))
    (root / "sample.py").write_text(SAMPLE.replace("number > LEAST", "LEAST < number"))
    with pytest.raises(SystemExit, match=r"sample\.py, greater"):
        table.check(reasons, "sample.py", mutants_of(root, "sample.py"))


def test_the_score_counts_what_was_run_and_changes_something() -> None:
    counts = Counter(killed=199, survived=1, equivalent=7, mutants=400)
    assert table.score("group", "all", counts) == "| group | all | 199 | 1 | 7 | 400 | 99 % |"
    assert table.score("group", "`a.py`", Counter(mutants=9)) == "| group | `a.py` | 0 | 0 | 0 | 9 | - |"
