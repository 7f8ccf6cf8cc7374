"""The texts below the arguments in a help: the manual of the program, and the examples of a command."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence

from govma_core.config_file import CONFIG_VARIABLE, DEFAULT_FILE
from govma_core.text.language import tr

_NAME_COLUMNS = 30
"""Columns for names at most, so that the texts beside them are aligned."""


def manual() -> str:
    """Return the text below the list of commands in the program's own help."""
    return "\n\n".join(
        (
            _section(tr("exit codes"), _exit_codes()),
            _section(tr("environment"), _environment()),
            _section(tr("files"), _files()),
            fill(tr("`govma-console COMMAND --help` says more about a command.")),
        )
    )


def list_examples(lines: Sequence[str]) -> str:
    """Return the examples of a command under a heading; '' for none."""
    return "\n".join((tr("examples") + ":", *(f"  {line}" for line in lines))) if lines else ""


def fill(text: str) -> str:
    """Break a text into lines that fit the terminal; argparse leaves that to us in a help with aligned parts."""
    return textwrap.fill(text, _width())


def _width() -> int:
    return max(40, shutil.get_terminal_size().columns - 2)


def _section(title: str, rows: Sequence[tuple[str, str]]) -> str:
    column = min(_NAME_COLUMNS, max(len(name) for name, _ in rows) + 4)
    lines = [f"{title}:"]
    for name, text in rows:
        has_own_line = len(name) + 3 > column
        lines += [f"  {name}"] if has_own_line else []
        indent = " " * column if has_own_line else f"  {name}".ljust(column)
        lines.append(textwrap.fill(text, _width(), initial_indent=indent, subsequent_indent=" " * column))
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
