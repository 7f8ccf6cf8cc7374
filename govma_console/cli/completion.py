"""Completion in the shell: of commands, options, versions and runs."""

from __future__ import annotations

import argparse
from typing import Any

from govma_console.cli.command import argument, command
from govma_console.config_option import effective
from govma_core.errors import GovmaError
from govma_core.runs.store import RunStore
from govma_core.text.language import tr
from govma_core.versions.store import PREFIX, VersionStore

COMPLETED = ("VERSION", "RUN")
"""Arguments whose values can be completed, by their metavar."""

_MOST = 50
"""Names that are offered at a time."""


@command(
    "completion",
    tr("print a completion script for commands, versions and runs"),
    argument("shell", choices=("bash", "zsh", "fish"), help=tr("the shell it is for")),
    json=False,
    examples=('eval "$(govma-console completion bash)"', "govma-console completion fish | source"),
)
def completion(options: argparse.Namespace) -> None:
    """Print the script of a shell; it calls this program for what could follow."""
    from argcomplete.shell_integration import shellcode

    print(shellcode(["govma-console"], shell=options.shell))


def complete_name(prefix: str, action: argparse.Action, parsed_args: argparse.Namespace, **_: Any) -> list[str]:  # noqa: ANN401
    """Return the versions or runs that begin with `prefix`, the latest first; none where they cannot be read."""
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
