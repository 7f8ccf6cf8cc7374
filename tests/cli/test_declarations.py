"""The declarations of the commands: each has a help, its examples are command lines, and they are light to import."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest

from govma_console.cli.commands import COMMANDS
from govma_console.cli.parser import build_parser

HEAVY = {
    "asyncio",
    "docker",
    "git",
    "hashlib",
    "http.client",
    "humanize",
    "starlette",
    "subprocess",
    "tarfile",
    "textual",
    "uvicorn",
    "watchfiles",
}


CALLS = {
    **{command.name: command for command in COMMANDS},
    **{f"{command.name} {action.name}": action for command in COMMANDS for action in command.actions},
}
"""Every command and action by the words that call it."""


@pytest.mark.parametrize("words", CALLS)
def test_a_command_says_what_it_does_and_its_examples_are_understood(words: str) -> None:
    command = CALLS[words]
    assert command.help
    for example in command.examples:
        # The command itself, without what a shell does with its output.
        line = shlex.split(example.removeprefix('eval "$(').split(" | ")[0].split(" >")[0].removesuffix(')"'))
        options = build_parser(COMMANDS).parse_args(line[1:])
        assert options.body is command.body, example
        assert line[0] == "govma-console"
        assert " ".join(line[1:]).startswith(words)


def test_the_declarations_load_no_heavy_library() -> None:
    """Guards the start of every command: all declarations are imported, whichever command is called."""
    code = "import sys, govma_console.cli.commands, govma_console.cli.parser; print(*sys.modules)"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert HEAVY & set(output.split()) == set()


def test_the_core_loads_the_engines_library_only_when_the_engine_is_asked() -> None:
    """Guards the memory and the start of each run: most never ask the engine."""
    code = (
        "import govma_core, importlib, pkgutil, sys\n"
        "for each in pkgutil.walk_packages(govma_core.__path__, 'govma_core.'): importlib.import_module(each.name)\n"
        "print(*sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert {"docker", "requests", "urllib3"} & set(output.split()) == set()


def test_recovery_loads_nothing_that_asks_the_site() -> None:
    """Guards the memory of runs that switch nothing: dedupe, prune, check."""
    code = "import sys, govma_core.runs.runner; print(*sys.modules)"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert {"http.client", "ssl", "secrets"} & set(output.split()) == set()
