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
