"""Nothing that a person reads is left in English: the commands in a language that is made of the catalog's own texts.

Its letters are others than those of English, so that whatever is still ASCII in what a command prints is no text of the
catalog: data, names that scripts know, or a word that was forgotten.
"""

from __future__ import annotations

import re
import shutil
import string
import subprocess
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo

from govma_console.cli.commands import COMMANDS
from scripts.translations import template
from tests.support.command import Command, environment
from tests.support.engine import REPOSITORY

OTHER = str.maketrans({letter: chr(ord(letter) + 0xFEE0) for letter in string.ascii_letters})
VALUE = re.compile(r"(\{[^{}]*\}|%\(\w+\)[rsd]|%[rsd])")
"""What stands for a value in a text."""

BUILD = re.compile(r"^== assets$.*?^== assets ", re.MULTILINE | re.DOTALL)
"""The output of the build's own commands."""

# Stages, operations and names that scripts look for; values of options; names of settings.
PROGRAMS = """
preflight source workdir assets env ownership vendor uploads publish promote plan remove dedupe prune measure deploy
COMMAND rollback check verify services git docker compose builder remote successfully deployed auto always never
"""
# Who runs the test, the sample's commits and their author, what the test gives, units, humanize's own Portuguese.
DATA = "root Prepara Carlos Agenda nope kB MB GB agora momento um segundo segundos minuto minutos"
NAMES = {each.name for each in COMMANDS} | {action.name for each in COMMANDS for action in each.actions}
SAME = frozenset((*PROGRAMS.split(), *DATA.split(), *NAMES))

COMMANDS_GIVEN = (
    ("deploy",),
    ("list",),
    ("status",),
    ("usage",),
    ("runs",),
    ("log",),
    ("pending",),
    ("pin", "2021", "--reason", "x"),
    ("rollback",),
    ("hold", "x"),
    ("deploy",),
    ("status",),
    ("history",),
    ("list",),
    ("prune", "--dry-run", "--keep", "1"),
    ("dedupe", "--dry-run"),
    ("verify", "--all"),
    ("release",),
    ("unpin", "2021"),
    ("doctor",),
    ("config",),
    ("runs",),
    # Refused, or not understood.
    ("promote", "nope"),
    ("pin", "nope"),
    ("log", "nope"),
    ("release", "nope"),
    ("prune", "--keep", "0"),
    ("prune", "--older-than", "nope"),
    ("hold", "--until", "nope"),
    ("attach",),
    ("cancel",),
    ("deploy", "--re"),
    ("deploy", "--force=1"),
    ("nope",),
)


def other(text: str) -> str:
    """Return a text in letters that are not those of English; what stands for values stays."""
    return "".join(part if VALUE.fullmatch(part) else part.translate(OTHER) for part in VALUE.split(text))


def words(text: str) -> set[str]:
    """Return what could be words of English: letters alone, or with a sentence's or a quotation's marks around them."""
    stripped = (part.strip("\"'`()[]<>,.:;!?=*•●→") for part in text.split())
    return {part for part in stripped if re.fullmatch("[A-Za-z]{2,}", part)}


@pytest.fixture(scope="module", name="code")
def _code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the packages that speaks no Portuguese, but the language made here."""
    root = tmp_path_factory.mktemp("code")
    for package in ("govma_core", "govma_console"):
        shutil.copytree(REPOSITORY / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    catalog = Catalog(locale="pt_BR")
    for message in template():
        if isinstance(message.id, tuple):
            catalog.add(message.id, tuple(map(other, message.id)))
        elif message.id:
            catalog.add(message.id, other(str(message.id)))
    with (root / "govma_core/locale/pt_BR/LC_MESSAGES/govma-console.mo").open("wb") as file:
        write_mo(file, catalog)
    return root


def printed_by(code: Path, line: list[str]) -> str:
    """Return all that a command prints in that language, without what the build itself printed."""
    variables = environment(PYTHONPATH=str(code), LC_ALL="pt_BR.UTF-8", PYTHONUTF8="1", COLUMNS="300")
    result = subprocess.run(line, cwd=code, env=variables, capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in result.stderr, result.stderr
    output = BUILD.sub("", result.stdout + result.stderr)
    # What argparse shows of the arguments: their names, in capitals.
    return "\n".join(row for row in output.splitlines() if "[-h]" not in row)


@pytest.mark.slow
def test_no_command_prints_a_word_of_english(code: Path, command: Command) -> None:
    """Guards whatever the test by the names of calls cannot see: words in tables, in lists, in formats."""
    values = words(command.run("config", "--json").out)
    english = {
        " ".join(line): sorted(words(printed_by(code, command.line(*line))) - SAME - values) for line in COMMANDS_GIVEN
    }
    assert {line: rest for line, rest in english.items() if rest} == {}


def test_no_help_has_a_word_of_english(code: Path, command: Command) -> None:
    for each in ((), *((name.name,) for name in COMMANDS), ("services", "up"), ("services", "log")):
        output = printed_by(code, command.line(*each, "--help"))
        # Examples are typed as they stand; what is in capitals is the name of an argument or a variable.
        text = "\n".join(row for row in output.splitlines() if "govma-console " not in row and "COMMAND" not in row)
        english = {word for word in words(text) - SAME if not word.isupper()}
        assert english == set(), each
