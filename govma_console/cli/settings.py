"""Commands about the settings: config, init."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from govma_console.cli.command import argument, command, flag
from govma_console.config_option import loaded
from govma_console.output import print_json, print_table, warn
from govma_core.errors import RefusedError, UsageError
from govma_core.fs import jsonfile
from govma_core.settings import DEFAULT_FILE, load, to_plain
from govma_core.settings.parse import KEYS
from govma_core.settings.write import commented_file, toml_value
from govma_core.text.language import counted, tr


@command("config", tr("print the effective settings and where each comes from"))
def config(options: argparse.Namespace) -> None:
    """Print each setting with its value and its origin. The content of env_file is never among them."""
    settings = loaded(options)
    plain, origins = to_plain(settings.settings), settings.origins
    if options.json:
        print_json({KEYS[name].written: {"value": value, "from": origins[name]} for name, value in plain.items()})
        return
    if settings.file:
        warn(tr("file: {file}", file=os.path.abspath(settings.file)))
    # The name of an environment variable has no translation, and stays.
    file = str(settings.file)
    texts = {origin: tr("settings file") if origin == file else tr(origin) for origin in origins.values()}
    rows = [(KEYS[name].written, toml_value(value), texts[origins[name]]) for name, value in plain.items()]
    print_table((tr("SETTING"), tr("VALUE"), tr("FROM")), rows, cut=(1,))


@command(
    "init",
    tr("write a commented settings file"),
    argument(
        "--from",
        dest="script",
        type=Path,
        metavar="run-deploy.sh",
        help=tr("take the settings from the exports of this script"),
    ),
    argument("-o", "--output", type=Path, metavar="FILE", help=tr("file to write (default /etc/govma-console.toml)")),
    flag("--force", tr("replace an existing file")),
    json=False,
    examples=("govma-console init --from /home/app/run-deploy.sh", "govma-console init -o ./site.toml"),
)
def init(options: argparse.Namespace) -> None:
    """Write a commented settings file, with the exports of a run-deploy.sh (--from)."""
    path: Path = options.output or options.config or DEFAULT_FILE
    settings = _import_script(options.script) if options.script else {}
    try:
        jsonfile.replace_bytes(
            path, commented_file({"asset_inputs": "auto"} | settings).encode(), overwrite=options.force
        )
    except FileExistsError:
        raise RefusedError(
            "{path} is there already; --force replaces it, -o FILE writes elsewhere.", path=path
        ) from None
    except OSError as error:
        raise RefusedError(
            "{path} cannot be written: {strerror}. -o FILE writes elsewhere.", path=path, strerror=error.strerror
        ) from None
    source = ""
    if options.script:
        source = tr(
            " with {settings} from {script}.",
            settings=counted(len(settings), "setting", "settings"),
            script=options.script,
        )
    print(tr("Wrote {path}", path=path) + (source or "."))
    load(file=path)


def _import_script(script: Path) -> dict[str, Any]:
    """Return the settings that a script exports, and print what of it is none; UsageError when it exports none."""
    from govma_core.settings.import_script import read_exports

    try:
        # Comments in Latin-1 are no matter; a value that is not in UTF-8 is named.
        exports = read_exports(script.read_bytes().decode("utf-8-sig", "surrogateescape"))
    except OSError as error:
        raise UsageError(
            "{script} cannot be read: {getattr}.", script=script, getattr=getattr(error, "strerror", None) or error
        ) from None
    for problem in exports.problems:
        print(tr("warning: {script}, {problem}", script=script, problem=problem), file=sys.stderr)
    if exports.others:
        print(
            tr("Not settings of govma-console, left out: {others}", others=", ".join(exports.others)), file=sys.stderr
        )
    if not exports.settings:
        raise UsageError("{script} exports none of the settings that govma-console knows.", script=script)
    return exports.settings
