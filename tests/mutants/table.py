"""The rows of RESULTS.md: the score by file and group, the mutants that survived, and the equivalent ones."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.mutants.mutations import Key, Mutant
from tests.support.results import line

INTRO = """# Mutants

Written by `make mutants` (`--sample N`: N of each file's mutants, the same ones each time). A mutant is one small
change of a file, which the tests that run its lines have to notice: those of the same feature first, then the others,
the fastest first, as many test files as take {seconds:.0f} seconds together. Tests that need a Docker engine or a
browser do not take part. Below each file stand the mutants that survived, and those that no test can notice."""
COLUMNS = ("group", "where", "killed", "survived", "equivalent", "mutants", "score, or what becomes of the line")


def equivalents(path: Path) -> dict[Key, str]:
    """Return the reasons in equivalent.toml by what they are about."""
    entries = tomllib.loads(path.read_text()).get("equivalent", [])
    return {(each["file"], each["function"], each["line"], each["becomes"]): each["reason"] for each in entries}


def check(reasons: Iterable[Key], file: str, mutants: Iterable[Mutant]) -> None:
    """Raise SystemExit for an entry of a file that fits none of its mutants any more."""
    for _, function, text, becomes in {key for key in reasons if key[0] == file} - {mutant.key for mutant in mutants}:
        raise SystemExit(f"equivalent.toml: {file}, {function}: nothing makes `{becomes}` of `{text}` any more.")


def score(group: str, where: str, counts: Mapping[str, int]) -> str:
    """Return the row of a file or group, with the share of those killed, in whole percent rounded down."""
    killed, survived = counts["killed"], counts["survived"]
    share = f"{100 * killed // (killed + survived)} %" if killed + survived else "-"
    return line([group, where, *(str(counts[name]) for name in COLUMNS[2:6]), share])


def of_file(
    group: str, mutants: Sequence[Mutant], outcomes: Mapping[str, list[int]], reasons: Mapping[Key, str]
) -> tuple[Counter[str], list[str]]:
    """Return how many mutants of a file came to what, and the file's rows. For `outcomes` see `__main__.run`."""
    counts, rows = Counter(mutants=len(mutants)), []
    for mutant in mutants:
        file, function, text, becomes = mutant.key
        where, change = f"`{file}:{mutant.line}` {function}", f"{_code(text)} becomes {_code(becomes)}"
        if reason := reasons.get(mutant.key):
            counts["equivalent"] += 1
            rows.append(line([group, where, "", "", "1", "", f"{change}: {reason}"]))
        elif outcome := outcomes.get(mutant.name):
            survived, ran, covering = outcome
            counts["survived" if survived else "killed"] += 1
            if survived:
                rows.append(line([group, where, "", "1", "", "", f"{change} ({ran} of {covering} test files run)"]))
    return counts, [score(group, f"`{mutants[0].file}`", counts), *rows]


def _code(text: str) -> str:
    return f"`` {text.replace('|', chr(92) + '|')} ``"
