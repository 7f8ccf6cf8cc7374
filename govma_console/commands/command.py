"""One command of the command line, as the parser, the help, the completion and the manual are made from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Argument = tuple[tuple[str, ...], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Command:
    """One command; `reports` gives it --json."""

    name: str
    help: str
    module: str
    function: str
    arguments: tuple[Argument, ...] = ()
    reports: bool = True
    actions: tuple[Command, ...] = ()
    """What may follow its name; without, it is this command itself."""
    examples: tuple[str, ...] = ()
    """Lines for its help, as they are typed."""


def flag(name: str, text: str) -> Argument:
    """Return an argument that is there or not."""
    return (name,), {"action": "store_true", "help": text}
