"""What became of the mutants: the score by file, the survivors, and those that change nothing (RESULTS.md)."""

from __future__ import annotations

import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.mutations import Mutant
from tests.support.results import line

INTRO = """# Mutants

Written by `make mutants` (`--sample N`: N of each file's mutants, the same ones each time). A mutant is one small
change of a file; a test that runs its lines has to fail: the fastest first, those which take {seconds:.0f} seconds
together without it. Tests that need a Docker engine, systemd or a browser do not take part. A test that hangs has
failed. `tests run` is how many of the tests that run the line were run; 0 of 0: no test does."""
SCORES = ("group", "file", "killed", "survived", "equivalent", "mutants", "score")
SURVIVORS = ("survivor", "function", "the line", "becomes", "tests run")
EQUIVALENT = ("file", "function", "the line", "becomes", "why this changes nothing")


class StaleError(Exception):
    """An entry of equivalent.toml fits no mutant any more."""


@dataclass(frozen=True, slots=True)
class Equivalent:
    """A mutant that changes nothing, and why."""

    file: str
    function: str
    line: str
    becomes: str
    reason: str


def equivalents(path: Path) -> list[Equivalent]:
    """Read the entries of equivalent.toml."""
    return [Equivalent(**entry) for entry in tomllib.loads(path.read_text()).get("equivalent", [])]


def match(entries: list[Equivalent], mutants: list[Mutant], root: Path) -> dict[Mutant, Equivalent]:
    """Return the mutants that the entries name; StaleError for an entry that names none."""
    pairs: dict[Mutant, Equivalent] = {}
    for entry in entries:
        alike = [
            mutant
            for mutant in mutants
            if (mutant.file, mutant.function, mutant.text) == (entry.file, entry.function, entry.line)
            and mutant.change(root)[1] == entry.becomes
        ]
        if not alike:
            raise StaleError(f"{entry.file}, {entry.function}: nothing there becomes '{entry.becomes}' any more")
        pairs |= dict.fromkeys(alike, entry)
    return pairs


def score(outcomes: Counter[str]) -> str:
    """Return the share of those killed among those that change something, in whole percent rounded down."""
    judged = outcomes["killed"] + outcomes["survived"]
    return f"{100 * outcomes['killed'] // judged} %" if judged else "-"


def table(groups: dict[str, dict[str, Counter[str]]]) -> list[str]:
    """Return the rows of the scores: each file, and all files of each group and of all groups."""
    rows = [line(SCORES), line(["---"] * len(SCORES))]
    everything: Counter[str] = Counter()
    for group, files in groups.items():
        whole = sum(files.values(), Counter())
        rows += [_row(group, f"`{file}`", outcomes) for file, outcomes in files.items()]
        rows += [_row(group, "**all**", whole)] * (len(files) > 1)
        everything += whole
    return [*rows, _row("**all**", "", everything)]


def _row(group: str, file: str, outcomes: Counter[str]) -> str:
    kinds = ("killed", "survived", "equivalent")
    ran = sum(outcomes[kind] for kind in kinds)
    return line(
        [group, file, *(str(outcomes[kind]) for kind in kinds), f"{ran} of {outcomes['mutants']}", score(outcomes)]
    )


def code(text: str) -> str:
    """Return code as a cell."""
    return f"`` {text.replace('|', chr(92) + '|')} ``"


def read(row: str) -> Counter[str]:
    """Return the outcomes of a row of the scores."""
    killed, survived, equivalent, ran = (cell.split()[-1] for cell in row.split("|")[3:7])
    return Counter(killed=int(killed), survived=int(survived), equivalent=int(equivalent), mutants=int(ran))
