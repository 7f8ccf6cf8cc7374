"""One command of the command line, as the parser, the help, the completion and the manual are made from it."""

from __future__ import annotations

import argparse
import shutil
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from govma_core.config_file import CONFIG_VARIABLE, DEFAULT_FILE
from govma_core.errors import ExitCode, GovmaError
from govma_core.text.language import tr

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


REF: Argument = ("--ref",), {"metavar": "REF", "help": tr("branch, tag or commit instead of the configured branch")}
NO_REHEARSAL = flag("--no-rehearsal", tr("don't test the version before the switch (this is recorded)"))
DETACH = flag("--detach", tr("start the run, print its id, and return at once"))
RUN: Argument = (
    ("run",),
    {"nargs": "?", "metavar": "RUN", "help": tr("id of a run, or any unambiguous beginning or end of it")},
)
VERSION = tr("a version: its name or any unambiguous prefix, with or without data-build--")


COMPLETED = ("VERSION", "RUN")
"""Arguments, by the name they have in the help, of which it is known what they could be."""

_MOST = 50


def completion(given: argparse.Namespace) -> int:
    """Print the shell's code; `eval` it, or write it to where the shell looks for such files."""
    from argcomplete.shell_integration import shellcode

    print(shellcode(["govma-console"], shell=given.shell))
    return ExitCode.OK


def complete(prefix: str, action: argparse.Action, parsed_args: argparse.Namespace, **_: Any) -> list[str]:  # noqa: ANN401
    """Return the versions or runs that begin so, the latest first; nothing where they cannot be read."""
    from govma_console.config_option import effective
    from govma_core.runs.store import RunStore
    from govma_core.versions.store import PREFIX, VersionStore

    try:
        settings = effective(parsed_args)
        if action.metavar == "RUN":
            names = RunStore(settings.state_dir).ids()
        else:
            names = [version.name for version in VersionStore(settings.versions_dir).versions()]
            if not prefix.startswith("d"):
                names = [name.removeprefix(PREFIX) for name in names]
    except (GovmaError, OSError):
        return []
    return [name for name in names if name.startswith(prefix)][:_MOST]


_NAME = 30
"""Columns of the names, so that what they mean stands in one line below the other."""


def manual() -> str:
    """Return what stands below the commands in the program's own help."""
    return "\n\n".join(
        (
            _section(tr("exit codes"), _exit_codes()),
            _section(tr("environment"), _environment()),
            _section(tr("files"), _files()),
            filled(tr("`govma-console COMMAND --help` says more about a command.")),
        )
    )


def examples(command: Command) -> str:
    """Return the examples of a command, '' when it has none."""
    if not command.examples:
        return ""
    return "\n".join((tr("examples") + ":", *(f"  {line}" for line in command.examples)))


def filled(text: str) -> str:
    """Return a text in lines that fit on the terminal: where examples stand, argparse breaks none."""
    return textwrap.fill(text, _width())


def _width() -> int:
    return max(40, shutil.get_terminal_size().columns - 2)


def _section(title: str, rows: Sequence[tuple[str, str]]) -> str:
    column = min(_NAME, max(len(name) for name, _ in rows) + 4)
    lines = [f"{title}:"]
    for name, text in rows:
        alone = len(name) + 3 > column
        lines += [f"  {name}"] if alone else []
        first = " " * column if alone else f"  {name}".ljust(column)
        lines.append(textwrap.fill(text, _width(), initial_indent=first, subsequent_indent=" " * column))
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
