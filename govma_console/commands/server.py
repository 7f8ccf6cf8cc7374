"""The HTTP server, and the tokens of those who may do more than deploy."""

from __future__ import annotations

import argparse
from pathlib import Path

from govma_console.commands.settings import effective
from govma_console.output import warn
from govma_core.errors import ExitCode
from govma_core.language import tr
from govma_core.settings import Settings


def serve(given: argparse.Namespace) -> int:
    """Serve until a signal says to stop."""
    from govma_console.server.main import serve as run

    config: Path | None = given.config
    return run(lambda: effective(given), ("--config", str(config.absolute())) if config else ())


def token(given: argparse.Namespace) -> int:
    """Make a token and print it, once."""
    from govma_console.server.tokens import Tokens

    settings: Settings = effective(given)
    made = Tokens(settings.token_file).add(given.name)
    print(made)
    warn(
        tr(
            "This is the only time it is shown; {token_file} keeps its hash. It is sent as a header:",
            token_file=settings.token_file,
        )
    )
    warn('  curl -H "Authorization: Bearer $TOKEN" …')
    return ExitCode.OK
