"""The entry of the command `govma-console`."""

from __future__ import annotations

import argparse
import io
import os
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from govma_console.output import hint_with, say, warn
from govma_core.config_file import CONFIG_VARIABLE, DEFAULT_FILE
from govma_core.errors import ExitCode, GovmaError, RunCancelled
from govma_core.text import language
from govma_core.text.language import tr


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line (default: the one of this process) in the operator's language, and return the exit code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    _prepare_streams()
    language.use(choose_language(words, os.environ))
    # The texts of commands are translated when their modules are imported: not before the language is settled.
    from govma_console.cli import commands, parser

    command_line = parser.build_parser(commands.COMMANDS)
    command_line.set_defaults(body=_open_console)
    if "_ARGCOMPLETE" in os.environ:
        # The shell asks what could follow; see completion.py.
        import argcomplete

        argcomplete.autocomplete(command_line)
    options = command_line.parse_args(words)
    hint_with(options.config, (command.name for command in commands.COMMANDS))
    try:
        exit_code = _run(options)
        sys.stdout.flush()
        return exit_code
    except GovmaError as error:
        warn(tr("govma-console: {error}", error=error))
        return error.exit_code
    except (KeyboardInterrupt, RunCancelled):
        return ExitCode.CANCELLED
    except BrokenPipeError:
        # The reader of the output is gone (`| head`); Python would complain about it once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except OSError as error:
        name = f" ({os.fsdecode(error.filename)})" if error.filename is not None else ""
        hint = tr(" Run as root.") if isinstance(error, PermissionError) and os.geteuid() else ""
        code = ExitCode.REFUSED if isinstance(error, PermissionError) else ExitCode.FAILED
        if isinstance(error, NotADirectoryError):
            hint = tr(" A setting leads through a file; `govma-console config` lists the settings.")
            code = ExitCode.CONFIGURATION
        warn(tr("govma-console: {strerror}{name}.{hint}", strerror=error.strerror or error, name=name, hint=hint))
        return code


def _prepare_streams() -> None:
    """Let nothing that is printed end the program, whatever the streams are."""
    # A stream that the caller closed (`>&-`) is None.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Names on disk need not be valid in the terminal's encoding, nor in any.
            stream.reconfigure(errors="backslashreplace")


def _run(options: argparse.Namespace) -> int:
    if options.version:
        from importlib.metadata import version

        say(f"govma-console {version('govma-console')}")
        return ExitCode.OK
    body = options.server_body or options.body
    exit_code: int | None = body(options)
    return exit_code or ExitCode.OK


def _open_console(options: argparse.Namespace) -> int:
    """Run the terminal app until the operator leaves it; it reads standard input and draws on standard error.

    Returns 2 where there is no terminal that can be drawn on.
    """
    if sys.stdin is not None and sys.stdin.isatty() and not os.isatty(2):
        warn(
            tr(
                "govma-console: The console draws on standard error, which leads elsewhere (2>FILE?). Leave that out, "
                "or name a command; `govma-console --help` lists them."
            )
        )
        return ExitCode.USAGE
    if not (sys.stdin is not None and sys.stdin.isatty()):
        warn(tr("govma-console: There is no terminal to draw on. Name a command; `govma-console --help` lists them."))
        return ExitCode.USAGE
    if os.environ.get("TERM", "") in ("", "dumb"):
        warn(
            tr(
                "govma-console: This terminal (TERM) cannot be drawn on. Name a command; "
                "`govma-console --help` lists them."
            )
        )
        return ExitCode.USAGE
    from govma_console.tui.start import run

    return run(options)


def choose_language(arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    """Return the language of GOVMA_LANGUAGE, else of `language` in the settings file, else of the locale.

    A file that cannot be read decides nothing; what is wrong with it is reported when the settings are loaded.
    """
    name = environment.get("GOVMA_LANGUAGE") or _language_in(_settings_file(arguments, environment))
    return language.known(name) or language.wanted_by(environment)


def _settings_file(arguments: Sequence[str], environment: Mapping[str, str]) -> Path:
    for number, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name == "--config" and (equals or arguments[number + 1 :]):
            return Path(value if equals else arguments[number + 1])
    return Path(environment.get(CONFIG_VARIABLE) or DEFAULT_FILE)


def _language_in(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return str(tomllib.load(file).get("language", ""))
    except (OSError, ValueError):
        return ""
