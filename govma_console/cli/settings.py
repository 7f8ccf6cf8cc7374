"""The effective settings."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from govma_console.config_option import loaded
from govma_console.output import print_json, print_table, warn
from govma_core.errors import ExitCode, RefusedError, UsageError
from govma_core.fs.jsonfile import put_file
from govma_core.settings import DEFAULT_FILE, load, to_plain
from govma_core.settings.import_script import read_exports
from govma_core.settings.parse import KEYS
from govma_core.settings.write import commented_file, toml_value
from govma_core.text.language import tr


def config(given: argparse.Namespace) -> int:
    """Print each setting with its value and where it came from. The env file's content is never among them."""
    found = loaded(given)
    plain = to_plain(found.settings)
    if given.json:
        print_json({KEYS[name].written: {"value": value, "from": found.origins[name]} for name, value in plain.items()})
        return ExitCode.OK
    files = {origin for origin in found.origins.values() if origin.startswith("/")}
    for file in files:
        warn(tr("file: {file}", file=file))
    # The name of an environment variable has no translation, and stays.
    origins = {name: tr("settings file") if origin in files else tr(origin) for name, origin in found.origins.items()}
    rows = [(KEYS[name].written, toml_value(value), origins[name]) for name, value in plain.items()]
    print_table((tr("SETTING"), tr("VALUE"), tr("FROM")), rows, cut=(1,))
    return ExitCode.OK


def init(given: argparse.Namespace) -> int:
    """Write a commented settings file, with the exports of a run-deploy.sh when one is given."""
    path: Path = given.output or given.config or DEFAULT_FILE
    chosen = _from_script(given.script) if given.script else {}
    try:
        put_file(path, commented_file(chosen), replace=given.force)
    except FileExistsError:
        raise RefusedError(
            tr("{path} is there already; --force replaces it, -o FILE writes elsewhere.", path=path)
        ) from None
    except OSError as error:
        raise RefusedError(
            tr("{path} cannot be written: {strerror}. -o FILE writes elsewhere.", path=path, strerror=error.strerror)
        ) from None
    print(
        tr("Wrote {path}", path=path)
        + (tr(" with {count} settings from {script}.", count=len(chosen), script=given.script) if given.script else ".")
    )
    load(file=path)
    return ExitCode.OK


def _from_script(script: Path) -> dict[str, Any]:
    try:
        found = read_exports(script.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            tr("{script} cannot be read: {getattr}.", script=script, getattr=getattr(error, "strerror", None) or error)
        ) from None
    for problem in found.problems:
        print(tr("warning: {script}, {problem}", script=script, problem=problem), file=sys.stderr)
    if found.others:
        print(tr("Not settings of govma-console, left out: {others}", others=", ".join(found.others)), file=sys.stderr)
    if not found.settings:
        raise UsageError(tr("{script} exports none of the settings that govma-console knows.", script=script))
    return found.settings
