"""The effective settings."""

from __future__ import annotations

import argparse

from govma_console.commands.settings import loaded
from govma_console.output import print_json, print_table
from govma_core.errors import ExitCode
from govma_core.settings import to_plain
from govma_core.settings.toml import toml_value


def config(given: argparse.Namespace) -> int:
    """Print each setting with its value and where it came from. The env file's content is never among them."""
    found = loaded(given)
    plain = to_plain(found.settings)
    if given.json:
        print_json({name: {"value": value, "from": found.origins[name]} for name, value in plain.items()})
        return ExitCode.OK
    rows = [(name, toml_value(value), found.origins[name]) for name, value in plain.items()]
    print_table(("SETTING", "VALUE", "FROM"), rows, stretch=1)
    return ExitCode.OK
