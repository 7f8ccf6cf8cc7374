"""The effective settings."""

from __future__ import annotations

import argparse

from govma_console.commands.settings import loaded
from govma_console.output import print_json, print_table, warn
from govma_core.errors import ExitCode
from govma_core.language import tr
from govma_core.settings import to_plain
from govma_core.settings.keys import KEYS
from govma_core.settings.toml import toml_value


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
