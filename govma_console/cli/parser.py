"""The parser of the command line, made from the declarations of the commands."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from govma_console.cli.command import Command
from govma_console.cli.completion import COMPLETED, complete_name
from govma_console.cli.console import open_console
from govma_console.cli.manual import fill, list_examples, manual
from govma_core.text.language import marked, tr

# argparse asks gettext by this name for its own texts.
argparse._ = tr  # type: ignore[attr-defined]
_ARGPARSE_TEXTS = (
    marked("usage: "),
    marked("positional arguments"),
    marked("options"),
    marked("show this help message and exit"),
    marked("the following arguments are required: %s"),
    marked("unrecognized arguments: %s"),
    marked("%(prog)s: error: %(message)s\n"),
    marked("invalid choice: %(value)r (choose from %(choices)s)"),
    marked("argument %(argument_name)s: %(message)s"),
    marked("expected one argument"),
    marked("ambiguous option: %(option)s could match %(matches)s"),
    marked("ignored explicit argument %r"),
    marked("invalid %(type)s value: %(value)r"),
)


class _Parser(argparse.ArgumentParser):
    """The parser of the program or of one command; its help is laid out when it is asked for, not at each start."""

    command: Command | None = None
    """None in the parser of the program itself."""

    def format_help(self) -> str:
        """Return the help, with the manual or the command's examples below it."""
        self.formatter_class = argparse.RawDescriptionHelpFormatter
        self.description = fill(self.description or "")
        self.epilog = list_examples(self.command.examples) if self.command else manual()
        return super().format_help()


def build_parser(commands: Sequence[Command]) -> argparse.ArgumentParser:
    """Return the parser of the program; what it parses has the body of the chosen command as `body`."""
    parser = _Parser(
        prog="govma-console",
        description=tr(
            "Deploy, list and roll back the versions of a site that live behind one symlink. "
            "Without a command, on a terminal: the console, where all of it is on one screen."
        ),
    )
    parser.set_defaults(body=open_console)
    parser.add_argument("--version", action="store_true", help=tr("print the version of this program"))
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help=tr("settings file to use instead of /etc/govma-console.toml")
    )
    parser.add_argument(
        "--headless-server", action="store_true", help=tr("run the HTTP server (`units` makes it a service)")
    )
    parsers = parser.add_subparsers(dest="command", metavar="COMMAND")
    for command in commands:
        _add_command(parsers, command)
    return parser


def _add_command(parsers: argparse._SubParsersAction[_Parser], command: Command) -> None:
    parser = parsers.add_parser(
        command.name, help=command.help, description=f"{command.help[0].upper()}{command.help[1:]}."
    )
    parser.command = command
    parser.set_defaults(body=command.body)
    # SUPPRESS: a --config before the command must not be replaced by the default of the one after it.
    parser.add_argument("--config", type=Path, metavar="FILE", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    if command.json:
        parser.add_argument("--json", action="store_true", help=tr("print JSON"))
    for argument in command.arguments:
        action = parser.add_argument(*argument.names, **argument.keywords)
        if action.metavar in COMPLETED:
            action.completer = complete_name  # type: ignore[attr-defined]
    if command.actions:
        subparsers = parser.add_subparsers(dest="action", metavar="ACTION")
        for action_command in command.actions:
            _add_command(subparsers, action_command)
