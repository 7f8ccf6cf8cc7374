"""The console: what runs without a command."""

from __future__ import annotations

import argparse
import os
import sys

from govma_console.output import warn
from govma_core.errors import ExitCode
from govma_core.text.language import tr


def open_console(options: argparse.Namespace) -> int:
    """Run the terminal app until the operator leaves it; it reads standard input and draws on standard error.

    Returns 2 where there is no terminal that can be drawn on.
    """
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

    return run(options)
