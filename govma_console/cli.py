"""The entry of the command `govma-console`: it settles the language before anything that has texts is imported."""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from govma_core import language
from govma_core.places import CONFIG_VARIABLE, DEFAULT_FILE


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line in the operator's language, and give the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    language.use(wanted_language(given, os.environ))
    from govma_console import command_line

    return command_line.main(given)


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
