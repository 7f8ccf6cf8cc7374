"""How a command of the command line is declared, and the arguments that several commands have.

The modules of all commands are imported at each start of the program, whichever command it is for. What takes long to
import is therefore imported by the body that works with it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from govma_core.text.language import tr

Body = Callable[[argparse.Namespace], int | None]
"""The function that does what a command is for: it takes the parsed options, and returns the exit code (None: 0)."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument or option of a command, in the words of argparse's `add_argument`."""

    names: tuple[str, ...]
    keywords: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Command:
    """One command, from which the parser, the help and the completion are made."""

    name: str
    help: str
    body: Body
    arguments: tuple[Argument, ...] = ()
    json: bool = True
    """Whether it has --json."""
    actions: tuple[Command, ...] = ()
    """The commands that may follow its name; without one of them its own body runs."""
    examples: tuple[str, ...] = ()
    """Command lines for its help."""


def command(
    name: str,
    help: str,
    *arguments: Argument,
    json: bool = True,
    actions: Sequence[Command] = (),
    examples: Sequence[str] = (),
) -> Callable[[Body], Command]:
    """Declare a command; the function below the declaration is its body."""

    def declare(body: Body) -> Command:
        return Command(name, help, body, arguments, json, tuple(actions), tuple(examples))

    return declare


def argument(*names: str, **keywords: Any) -> Argument:  # noqa: ANN401 - whatever argparse takes
    """Declare an argument or option."""
    return Argument(names, keywords)


def flag(name: str, text: str) -> Argument:
    """Declare an option without a value; `text` is its help."""
    return argument(name, action="store_true", help=text)


_VERSION = tr("a version: its name or any unambiguous prefix, with or without data-build--")

VERSION = argument("version_name", metavar="VERSION", help=_VERSION)
OPTIONAL_VERSION = argument("version_name", nargs="?", metavar="VERSION", help=_VERSION)
DETACH = flag("--detach", tr("start the run, print its id, and return at once"))
MOST = argument("-n", "--most", type=int, default=20, metavar="N", help=tr("how many (default 20)"))
