"""Writing a settings file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from govma_core.errors import ExitCode, RefusedError, UsageError
from govma_core.jsonfile import put_file
from govma_core.language import tr
from govma_core.settings import DEFAULT_FILE, load
from govma_core.settings.exports import read_exports
from govma_core.settings.toml import commented_file


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
