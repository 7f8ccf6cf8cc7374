"""Run the mutants of the groups, files and folders in the arguments (all without one), and write RESULTS.md.

An interrupted run goes on where it was. What a mutant came to is kept while its file, and the test files that run its
file, have the same text.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from tests.mutants import code, covering, results
from tests.mutants.clones import PYTEST, Clone
from tests.mutants.mutations import Mutant, mutants_of, sample
from tests.mutants.results import StaleError
from tests.support.results import line

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent


def files_of(group: str) -> list[str]:
    """Return the files of a group."""
    paths = [path for name in code.GROUPS[group] for path in ([ROOT / name] if name.endswith(".py") else _below(name))]
    return [str(path.relative_to(ROOT)) for path in paths]


def _below(folder: str) -> list[Path]:
    return sorted(path for path in (ROOT / folder).rglob("*.py") if path.name != "__init__.py")


def test_files() -> list[str]:
    """Return the files of the tests that judge."""
    names = [
        str(path.relative_to(ROOT)) for folder in code.TESTS for path in sorted((ROOT / folder).rglob("test_*.py"))
    ]
    return [name for name in names if not name.startswith(tuple(code.NO_JUDGES))]


class Crew:
    """Two clones that work through lists of jobs."""

    def __init__(self) -> None:
        self.clones = [Clone(ROOT, "first"), Clone(ROOT, "second")]
        self.stopping = threading.Event()
        self._free: queue.SimpleQueue[Clone] = queue.SimpleQueue()
        for clone in self.clones:
            clone.fill()
            self._free.put(clone)

    def work(self, what: str, jobs: list[Callable[[Clone], None]]) -> None:
        """Do the jobs, two at a time; on an interruption end what runs."""
        with ThreadPoolExecutor(len(self.clones)) as pool:
            futures = [pool.submit(self._one, job) for job in jobs]
            try:
                for number, future in enumerate(as_completed(futures), start=1):
                    future.result()
                    print(f"\r{what}: {number} of {len(jobs)}", end="", file=sys.stderr, flush=True)
            except BaseException:
                self.stopping.set()
                pool.shutdown(wait=False, cancel_futures=True)
                for clone in self.clones:
                    clone.stop()
                raise
        print(file=sys.stderr)

    def _one(self, job: Callable[[Clone], None]) -> None:
        clone = self._free.get()
        try:
            if not self.stopping.is_set():
                job(clone)
        finally:
            self._free.put(clone)


class FileResults:
    """What the mutants of one file came to, kept in `.cache/mutants/results`: `[outcome, tests run, of, seconds]`."""

    def __init__(self, file: str, tests: dict[str, list[covering.Judge]]) -> None:
        self._path = ROOT / ".cache/mutants/results" / f"{file}.json"
        covers = [name for name, all_of in sorted(tests.items()) if any(file in test.lines for test in all_of)]
        self._digest = covering.digest(ROOT / name for name in [file, *covers])
        content = json.loads(self._path.read_text()) if self._path.exists() else {}
        self.by_name: dict[str, list[Any]] = content["results"] if content.get("digest") == self._digest else {}

    def add(self, mutant: Mutant, result: list[Any]) -> None:
        """Write one down."""
        self.by_name[mutant.name] = result
        self._path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"digest": self._digest, "results": self.by_name}, indent=1)
        new = self._path.with_suffix(".new")
        new.write_text(text)
        new.replace(self._path)


def run_mutant(clone: Clone, mutant: Mutant, tests: Iterable[covering.Judge], stopping: threading.Event) -> list[Any]:
    """Return what a mutant comes to; [] when all is to stop."""
    chosen, covers = covering.choose(mutant, tests, code.SECONDS_PER_MUTANT)
    if not chosen:
        return ["survived", 0, 0, 0.0]
    (clone.path / ".cache/chosen").write_text(json.dumps([[test.name, test.seconds] for test in chosen]))
    began = time.monotonic()
    exit_code = clone.run_mutant(
        mutant.file,
        mutant.change(ROOT)[0],
        [*PYTEST, "-x", *sorted({test.name.partition("::")[0] for test in chosen})],
        timeout=60 + 3 * sum(test.seconds for test in chosen),
        MUTANTS_CHOSEN=f"{ROOT}/.cache/chosen",
    )
    took = round(time.monotonic() - began, 1)
    return [] if stopping.is_set() else ["survived" if exit_code == 0 else "killed", len(chosen), covers, took]


def check(clone: Clone, mutant: Mutant, tests: Iterable[covering.Judge]) -> None:
    """Stop when the fastest test fails without any change: then no mutant's result would mean anything."""
    chosen, _ = covering.choose(mutant, tests, 0)
    if not chosen:
        return
    (clone.path / ".cache/chosen").write_text(json.dumps([[test.name, test.seconds] for test in chosen]))
    command = [*PYTEST, "-x", chosen[0].name.partition("::")[0]]
    if clone.run(command, timeout=120, MUTANTS_CHOSEN=f"{ROOT}/.cache/chosen") != 0:
        raise SystemExit(f"{chosen[0].name} fails without a mutant:\n{clone.last_words()}")


def main() -> int:
    """Return 0; mutants that survive are read in the table."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"files, folders, or groups: {', '.join(code.GROUPS)}")
    parser.add_argument("--sample", type=int, default=0, help="so many mutants of each file; all without this")
    options = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("make mutants: run it as root; it takes namespaces to keep mutants from everything else.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    everything = [file for group in code.GROUPS for file in files_of(group)]
    groups = {file: group for group in code.GROUPS for file in files_of(group)}
    files = [
        file
        for file in everything
        if not options.names
        or any(name in (groups[file], file) or file.startswith(f"{name}/") for name in options.names)
    ]
    mutants = {file: mutants_of(file, ROOT) for file in files}
    entries = [entry for entry in results.equivalents(HERE / "equivalent.toml") if entry.file in files]
    equal = results.match(entries, [mutant for all_of in mutants.values() for mutant in all_of], ROOT)
    chosen = {file: [m for m in sample(mutants[file], options.sample) if m not in equal] for file in files}
    crew = Crew()
    unknown = [name for name in test_files() if covering.known(ROOT, name) is None]
    jobs = [lambda clone, name=name: covering.measure(clone, name, everything) for name in unknown]
    crew.work("test files measured", jobs)  # type: ignore[arg-type]
    tests = {name: covering.known(ROOT, name) or [] for name in test_files()}
    judges = [test for all_of in tests.values() for test in all_of]
    kept = {file: FileResults(file, tests) for file in files}
    todo = [mutant for file in files for mutant in chosen[file] if mutant.name not in kept[file].by_name]
    firsts = {mutant.file: mutant for mutant in todo}.values()
    crew.work("files checked", [lambda clone, mutant=mutant: check(clone, mutant, judges) for mutant in firsts])  # type: ignore[misc]
    lock = threading.Lock()

    def job(clone: Clone, mutant: Mutant) -> None:
        if result := run_mutant(clone, mutant, judges, crew.stopping):
            with lock:
                kept[mutant.file].add(mutant, result)

    try:
        crew.work("mutants run", [lambda clone, mutant=mutant: job(clone, mutant) for mutant in todo])  # type: ignore[misc]
    finally:
        (HERE / "RESULTS.md").write_text(document(groups, mutants, {f: k.by_name for f, k in kept.items()}, equal))
    return 0


def document(
    groups: dict[str, str],
    mutants: dict[str, list[Mutant]],
    kept: dict[str, dict[str, list[Any]]],
    equal: dict[Mutant, results.Equivalent],
) -> str:
    """Return RESULTS.md with the results of these files; what it says of others stays as it is."""
    path = HERE / "RESULTS.md"
    old = [row for row in (path.read_text() if path.exists() else "").splitlines() if row.startswith("| ")]
    scores: dict[str, dict[str, Counter[str]]] = {group: {} for group in groups.values()}
    survivors, same = [], []
    for file, group in groups.items():
        if file not in mutants:
            for row in old:
                if row.startswith(f"| {group} | `{file}` |"):
                    scores[group][file] = results.read(row)
            survivors += [row for row in old if row.startswith(f"| `{file}:")]
            same += [row for row in old if row.startswith(f"| `{file}` |")]
            continue
        scores[group][file] = outcomes = Counter(mutants=len(mutants[file]))
        for mutant in mutants[file]:
            outcome, run, covers, _ = kept[file].get(mutant.name, ["", 0, 0, 0])
            if mutant in equal:
                outcome = "equivalent"
                cells = [f"`{file}`", mutant.function, *map(results.code, (mutant.text, equal[mutant].becomes))]
                same.append(line([*cells, equal[mutant].reason]))
            elif outcome == "survived":
                cells = [f"`{file}:{mutant.line}`", mutant.function, results.code(mutant.text)]
                survivors.append(line([*cells, results.code(mutant.change(ROOT)[1]), f"{run} of {covers}"]))
            outcomes[outcome] += bool(outcome)
    rule = [line(["---"] * len(results.SURVIVORS))]
    parts = [
        results.INTRO.format(seconds=code.SECONDS_PER_MUTANT),
        "\n".join(results.table(scores)),
        "## Survivors",
        "\n".join([line(results.SURVIVORS), *rule, *survivors]),
        "## Equivalent",
        "\n".join([line(results.EQUIVALENT), *rule, *same]),
    ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nInterrupted; the next `make mutants` with these arguments goes on.")
    except StaleError as error:
        sys.exit(f"tests/mutants/equivalent.toml: {error}.")
