"""Completion in the shell: what is printed for it, and what versions and runs there are."""

from __future__ import annotations

import argparse
from typing import Any

from govma_core.errors import ExitCode, GovmaError

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
    from govma_console.commands.settings import effective
    from govma_core.runs.store import RunStore
    from govma_core.versions.names import PREFIX
    from govma_core.versions.store import VersionStore

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
