"""Run the mutants of the groups in the arguments (all without one), and write RESULTS.md."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

from tests.mutants import table
from tests.mutants.clones import Clone
from tests.mutants.covering import Covering, choose, digest, measure, recall
from tests.mutants.mutations import Mutant, mutants_of, sample
from tests.mutants.targets import GROUPS, SECONDS, SLOW, TESTS
from tests.support.results import Table

ROOT = Path(__file__).resolve().parents[2]
Item = TypeVar("Item")


def on_clones(
    clones: SimpleQueue[Clone], what: str, work: Callable[[Clone, Item], None], items: Sequence[Item]
) -> None:
    """Do the work for each item, as many at a time as there are clones. After a Ctrl-C these end first."""

    def one(item: Item) -> None:
        clone = clones.get()
        try:
            work(clone, item)
        finally:
            clones.put(clone)

    with ThreadPoolExecutor(clones.qsize()) as pool:
        for number, _ in enumerate(pool.map(one, items), start=1):
            print(f"{what}: {number} of {len(items)}", file=sys.stderr)


def survives(clone: Clone, mutant: Mutant, test_files: Sequence[Covering]) -> bool:
    """Tell whether all tests of the files pass, run in this order."""
    seconds = 60 + 5 * sum(each.seconds for each in test_files)
    names = [each.name for each in test_files]
    return not names or clone.run_mutant(mutant, ["--timeout=60", *names], seconds) == 0


def run(
    clones: SimpleQueue[Clone], root: Path, file: str, mutants: Sequence[Mutant], test_files: Sequence[Covering]
) -> dict[str, list[int]]:
    """Run mutants of a file, without those of an earlier run.

    Return for all of both, by their names, whether they survived, and how many test files were run, of how many.
    """
    covering = sorted(each.name for each in test_files if file in each.lines)
    path = root / ".cache/mutants/outcomes" / digest(root, [file, *covering])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()

    def outcomes() -> dict[str, list[int]]:
        return dict(json.loads(line) for line in path.read_text().splitlines())

    def check(clone: Clone, mutant: Mutant) -> None:
        first = choose(mutant, test_files, 0)[0]
        if not survives(clone, replace(mutant, code=(root / file).read_text()), first):
            raise SystemExit(f"{first[0].name} fails without a mutant:\n{clone.output()}")

    def work(clone: Clone, mutant: Mutant) -> None:
        chosen, number = choose(mutant, test_files, SECONDS)
        outcome = [int(survives(clone, mutant, chosen)), len(chosen), number]
        with path.open("a") as lines:
            lines.write(json.dumps([mutant.name, outcome]) + "\n")

    todo = [mutant for mutant in mutants if mutant.name not in outcomes()]
    on_clones(clones, f"{file} as it is", check, todo[:1])
    on_clones(clones, file, work, todo)
    return outcomes()


def main(arguments: Sequence[str] | None = None, root: Path = ROOT, groups: Mapping[str, list[str]] = GROUPS) -> None:
    """Measure the tests, run the mutants, and write the table after each group."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("groups", nargs="*", help=", ".join(groups))
    parser.add_argument("--sample", type=int, default=0, help="so many mutants of each file; all without this")
    options = parser.parse_args(arguments)
    names = options.groups or list(groups)
    if unknown := set(names) - set(groups):
        parser.error(f"no such group: {', '.join(unknown)}")
    mutants = {file: mutants_of(root, file) for name in names for file in groups[name]}
    reasons = table.equivalents(root / "tests/mutants/equivalent.toml")
    for file in mutants:
        table.check(reasons, file, mutants[file])
    clones: SimpleQueue[Clone] = SimpleQueue()
    for name in ("first", "second"):
        clones.put(Clone(root, name))
    paths = [path for folder in TESTS for path in sorted((root / "tests" / folder).rglob("test_*.py"))]
    test_files = [str(path.relative_to(root)) for path in paths if path.name not in SLOW]
    files = [file for name in groups for file in groups[name]]
    new = [name for name in test_files if not recall(root, name)]
    on_clones(clones, "test files measured", lambda clone, name: measure(clone, name, files), new)
    tests = [each for name in test_files if (each := recall(root, name))]
    results = Table(root / "tests/mutants/RESULTS.md", table.INTRO.format(seconds=SECONDS), table.COLUMNS, list(groups))
    for group in names:
        total, rows = Counter[str](), []
        for file in groups[group]:
            different = [mutant for mutant in sample(mutants[file], options.sample) if mutant.key not in reasons]
            outcomes = run(clones, root, file, different, tests)
            counts, rows_of_file = table.of_file(group, mutants[file], outcomes, reasons)
            total += counts
            rows += rows_of_file
        results.write({group: [*rows, *[table.score(group, "all", total)] * (len(groups[group]) > 1)]})


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("Interrupted; the next `make mutants` with these arguments goes on.")
