"""How a command of the command line is declared, the arguments that several commands have, and how one starts a run.

The modules of all commands are imported at each start of the program, whichever command it is for. What takes long to
import is therefore imported by the body that works with it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from govma_console import reports
from govma_console.config_option import effective
from govma_console.output import outlive_readers, print_json, say
from govma_core.errors import ExitCode, UsageError
from govma_core.runs.store import RunRecord
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


def follow_or_detach(
    options: argparse.Namespace, operation: str, arguments: dict[str, Any], show: Callable[[RunRecord], None]
) -> int:
    """Start a run, follow it to its end, show its record, and return its exit code. With --detach print its id."""
    from govma_console.cli.follow import follow_started, start_run

    outlive_readers()
    settings = effective(options)
    # What is left behind must not lose its turn to the next command of a script.
    started_run = start_run(settings, operation, arguments, "cli", queued=options.detach)
    if options.detach:
        run_id = started_run.record.id
        print_json({"run": run_id}) if options.json else print(run_id)
        return ExitCode.OK
    record, exit_code = follow_started(settings, started_run)
    print_json(reports.run(record)) if options.json else show(record)
    return exit_code


def is_dry_run(options: argparse.Namespace) -> bool:
    """Tell whether the command starts no run, but prints what one would do; UsageError together with --detach."""
    if options.dry_run and options.detach:
        raise UsageError("--dry-run starts no run that could be left behind: leave --detach out.")
    return bool(options.dry_run)


def show_message(record: RunRecord) -> None:
    """Print the message of a run that went well; the error of another was narrated while it was followed."""
    if record.exit_code == ExitCode.OK:
        say(record.message)
