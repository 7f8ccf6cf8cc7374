"""Writing a settings file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from govma_core.errors import ExitCode, RefusedError, UsageError
from govma_core.jsonfile import put_file
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
        raise RefusedError(f"{path} is there already; --force replaces it, -o FILE writes elsewhere.") from None
    except OSError as error:
        raise RefusedError(f"{path} cannot be written: {error.strerror}. -o FILE writes elsewhere.") from None
    print(f"Wrote {path}" + (f" with {len(chosen)} settings from {given.script}." if given.script else "."))
    load(file=path)
    return ExitCode.OK


def _from_script(script: Path) -> dict[str, Any]:
    try:
        found = read_exports(script.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{script} cannot be read: {getattr(error, 'strerror', None) or error}.") from None
    for problem in found.problems:
        print(f"warning: {script}, {problem}", file=sys.stderr)
    if found.others:
        print(f"Not settings of govma-console, left out: {', '.join(found.others)}", file=sys.stderr)
    if not found.settings:
        raise UsageError(f"{script} exports none of the settings that govma-console knows.")
    return found.settings
