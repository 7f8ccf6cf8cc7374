"""The entry of the command `govma-console`: it settles the language before anything that has texts is imported."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from govma_console.cli.command import COMPLETED, Command, complete
from govma_console.output import hint_with, say, warn
from govma_core.config_file import CONFIG_VARIABLE, DEFAULT_FILE
from govma_core.errors import ExitCode, GovmaError, RunCancelled
from govma_core.text import language
from govma_core.text.language import marked, tr

# argparse asks gettext by this name for its own texts.
argparse._ = tr  # type: ignore[attr-defined]
_ITS_TEXTS = (
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
    """A parser whose help is put together when it is asked for, and not at each start of a command."""

    about: Command | None = None
    """The command that it is of; None is the program itself."""

    def format_help(self) -> str:
        """Return the help, with what stands below it."""
        from govma_console.cli.command import examples, filled, manual

        self.formatter_class = argparse.RawDescriptionHelpFormatter
        self.description = filled(self.description or "")
        self.epilog = examples(self.about) if self.about else manual()
        return super().format_help()


def build_parser() -> argparse.ArgumentParser:
    """Make the parser of all commands; nothing of what they work with is imported for it."""
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
        "--headless-server", action="store_true", help=tr("run the HTTP server (`units` makes it a service)")
    )
    # Their texts are in the language that was settled before this.
    from govma_console.cli.commands import COMMANDS

    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for command in COMMANDS:
        _add(commands, command)
    return parser


def _add(commands: argparse._SubParsersAction[_Parser], command: Command) -> None:
    sub = commands.add_parser(
        command.name, help=command.help, description=f"{command.help[0].upper()}{command.help[1:]}."
    )
    sub.about = command
    # SUPPRESS: given before the command it must not be reset by the default of the one after it.
    sub.add_argument("--config", type=Path, metavar="FILE", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    if command.reports:
        sub.add_argument("--json", action="store_true", help=tr("print JSON"))
    for names, options in command.arguments:
        made = sub.add_argument(*names, **options)
        if options.get("metavar") in COMPLETED:
            made.completer = complete  # type: ignore[attr-defined]
    if command.actions:
        actions = sub.add_subparsers(dest="action", metavar="ACTION")
        for action in command.actions:
            _add(actions, action)


def _execute(arguments: Sequence[str]) -> int:
    """Run the command line, and give the exit code."""
    # Closed by the caller (`>&-`): what is printed then goes nowhere.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Names on disk need not be valid in the terminal's encoding, nor in any.
            stream.reconfigure(errors="backslashreplace")
    from govma_console.cli.commands import COMMANDS

    parser = build_parser()
    if "_ARGCOMPLETE" in os.environ:
        # The shell asks what could follow; see the command `completion`.
        import argcomplete

        argcomplete.autocomplete(parser)
    given = parser.parse_args(arguments)
    hint_with(given.config, (command.name for command in COMMANDS))
    if given.version:
        from importlib.metadata import version

        say(f"govma-console {version('govma-console')}")
        return ExitCode.OK
    module, function = "demo", "console"
    if given.headless_server:
        module, function = "server", "serve"
    elif given.command is not None:
        command = next(found for found in COMMANDS if found.name == given.command)
        command = next((found for found in command.actions if found.name == given.action), command)
        module, function = command.module, command.function
    try:
        return int(getattr(importlib.import_module(f"govma_console.cli.{module}"), function)(given))
    except GovmaError as error:
        warn(tr("govma-console: {error}", error=error))
        return error.exit_code
    except (KeyboardInterrupt, RunCancelled):
        return ExitCode.CANCELLED
    except BrokenPipeError:
        # Whoever read our output went away; Python must not complain about it once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except OSError as error:
        name = f" ({os.fsdecode(error.filename)})" if error.filename is not None else ""
        hint = tr(" Run as root.") if isinstance(error, PermissionError) and os.geteuid() else ""
        warn(tr("govma-console: {strerror}{name}.{hint}", strerror=error.strerror or error, name=name, hint=hint))
        return ExitCode.REFUSED if isinstance(error, PermissionError) else ExitCode.FAILED


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line in the operator's language, and give the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    language.use(wanted_language(given, os.environ))
    return _execute(given)


def wanted_language(arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    """Return the language of GOVMA_LANGUAGE, else of `language` in the settings file, else of the locale.

    A file that cannot be read decides nothing: what is wrong with it is said when the settings are loaded.
    """
    named = environment.get("GOVMA_LANGUAGE") or _in_file(_file(arguments, environment))
    return language.known(named) or language.wanted_by(environment)


def _file(arguments: Sequence[str], environment: Mapping[str, str]) -> Path:
    for number, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name == "--config" and (equals or arguments[number + 1 :]):
            return Path(value if equals else arguments[number + 1])
    return Path(environment.get(CONFIG_VARIABLE) or DEFAULT_FILE)


def _in_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return str(tomllib.load(file).get("language", ""))
    except (OSError, ValueError):
        return ""


if __name__ == "__main__":
    sys.exit(main())


if __name__ == "__main__":
    sys.exit(main())
