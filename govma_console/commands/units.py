"""The units for systemd."""

from __future__ import annotations

import argparse

from govma_console.commands.settings import effective
from govma_console.output import say, warn
from govma_core.errors import ExitCode
from govma_core.language import tr


def units(given: argparse.Namespace) -> int:
    """Print the units, or put them where systemd looks for them."""
    from govma_console.server.units import SERVICE, SOCKET, install, make_units

    made = make_units(effective(given), given.config, with_socket=given.socket)
    if not given.install:
        for name, text in made.items():
            say(f"# {name}\n{text}")
        return ExitCode.OK
    for path in install(made):
        warn(tr("Wrote {path}.", path=path))
    wanted = f"{SOCKET} {SERVICE}" if given.socket else SERVICE
    say(f"systemctl daemon-reload && systemctl enable --now {wanted}")
    return ExitCode.OK
