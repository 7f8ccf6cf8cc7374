"""The terminal app, which is what `govma-console` without a command means."""

from __future__ import annotations

import argparse
import os
import sys

from govma_console.output import warn
from govma_core.errors import ExitCode
from govma_core.language import tr


def console(given: argparse.Namespace) -> int:
    """Run the app until somebody leaves it. It reads keys from standard input and draws on standard error."""
    if not (sys.stdin is not None and sys.stdin.isatty() and os.isatty(2)):
        warn(tr("govma-console: There is no terminal to draw on. Name a command; `govma-console --help` lists them."))
        return ExitCode.USAGE
    if os.environ.get("TERM", "") in ("", "dumb"):
        warn(
            tr(
                "govma-console: This terminal (TERM) cannot be drawn on. Name a command; "
                "`govma-console --help` lists them."
            )
        )
        return ExitCode.USAGE
    from govma_console.tui.start import run

    return run(given)
