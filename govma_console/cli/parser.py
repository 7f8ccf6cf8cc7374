"""The parser of the command line and its help, made from the declarations of the commands."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from govma_console.cli.command import Command
from govma_console.cli.completion import COMPLETED, complete_name
from govma_console.cli.server import serve
from govma_core.config_file import CONFIG_VARIABLE, DEFAULT_FILE
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
_NAME_COLUMNS = 30
"""Columns for names at most, so that the texts beside them are aligned."""


class _Parser(argparse.ArgumentParser):
    """The parser of the program or of one command; its help is laid out when it is asked for, not at each start."""

    command: Command | None = None
    """None in the parser of the program itself."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # noqa: ANN401
        """Parse a command's words; of what it does not know it says so itself, with its own usage."""
        options, unknown = super().parse_known_args(args, namespace)
        if unknown and self.command:
            self.error(tr("unrecognized arguments: %s") % " ".join(unknown))
        return options, unknown

    def format_help(self) -> str:
        """Return the help, with the manual or the command's examples below it."""
        self.formatter_class = argparse.RawDescriptionHelpFormatter
        self.description = _fill(self.description or "")
        self.epilog = _list_examples(self.command.examples) if self.command else _manual()
        return super().format_help()


def build_parser(commands: Sequence[Command]) -> argparse.ArgumentParser:
    """Return the parser of the program; the chosen command puts its body into the options as `body`."""
    parser = _Parser(
        prog="govma-console",
        description=tr(
            "Deploy, list and roll back the versions of a site that live behind one symlink. "
            "Without a command, on a terminal: the console, where all of it is on one screen."
        ),
    )
    parser.add_argument("--version", action="store_true", help=tr("print the version of this program"))
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help=tr("settings file to use instead of /etc/govma-console.toml")
    )
    parser.add_argument(
        "--headless-server",
        action="store_const",
        const=serve,
        dest="server_body",
        help=tr("run the HTTP server (`units` makes it a service)"),
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


def _manual() -> str:
    """Return the text below the list of commands in the program's own help."""
    return "\n\n".join(
        (
            _section(tr("exit codes"), _exit_codes()),
            _section(tr("environment"), _environment()),
            _section(tr("files"), _files()),
            _fill(tr("`govma-console COMMAND --help` says more about a command.")),
        )
    )


def _list_examples(lines: Sequence[str]) -> str:
    """Return the examples of a command under a heading; '' for none."""
    return "\n".join((tr("examples") + ":", *(f"  {line}" for line in lines))) if lines else ""


def _fill(text: str, first_indent: str = "", indent: str = "") -> str:
    """Break a text into lines that fit the terminal; argparse leaves that to us in a help with aligned parts."""
    import textwrap

    width = max(40, shutil.get_terminal_size().columns - 2)
    return textwrap.fill(text, width, initial_indent=first_indent, subsequent_indent=indent)


def _section(title: str, rows: Sequence[tuple[str, str]]) -> str:
    column = min(_NAME_COLUMNS, max(len(name) for name, _ in rows) + 4)
    lines = [f"{title}:"]
    for name, text in rows:
        has_own_line = len(name) + 3 > column
        lines += [f"  {name}"] if has_own_line else []
        indent = " " * column
        lines.append(_fill(text, indent if has_own_line else f"  {name}".ljust(column), indent))
    return "\n".join(lines)


def _exit_codes() -> tuple[tuple[str, str], ...]:
    return (
        ("0", tr("done")),
        ("1", tr("failed; current-version is as it was. Also: verify found changed files")),
        ("2", tr("wrong usage, no such run, or a name that fits several versions, runs or commits")),
        ("3", tr("a setting is wrong, or something needed is missing")),
        ("4", tr("another run is in progress")),
        ("5", tr("refused: deploys are held, no such version, not permitted, …")),
        ("6", tr("the version is live, but it is not proved that it is served, or a check fails")),
        ("130", tr("cancelled, or Ctrl-C stopped following")),
    )


def _environment() -> tuple[tuple[str, str], ...]:
    return (
        (CONFIG_VARIABLE, tr("settings file, as --config")),
        ("GOVMA_LANGUAGE, LANG", tr("language: en or pt_BR")),
        ("NO_COLOR, GOVMA_ASCII=1", tr("no colours; no characters beyond ASCII")),
        ("GOV_MA_…, GOVMA_…", tr("settings; `govma-console init` writes a file that names the variable of each")),
    )


def _files() -> tuple[tuple[str, str], ...]:
    return (
        (str(DEFAULT_FILE), tr("settings")),
        ("/etc/govma-console.tokens", tr("tokens for the HTTP server (token_file)")),
        ("/etc/govma-console.hooks/", tr("hooks (hooks_dir)")),
        ("/var/lib/govma-console/", tr("runs and their logs, history, manifests, pins, holds (state_dir)")),
        ("/run/govma-console.sock", tr("socket of the HTTP server (unix_socket)")),
    )
