"""The HTTP server and its commands: token, units."""

from __future__ import annotations

import argparse
from pathlib import Path

from govma_console.cli.command import argument, command, flag
from govma_console.config_option import effective
from govma_console.output import say, warn
from govma_core.text.language import tr


def serve(options: argparse.Namespace) -> int:
    """Run the HTTP server (--headless-server) until a signal ends it."""
    from govma_console.server.server import serve as run

    config: Path | None = options.config
    return run(lambda: effective(options), ("--config", str(config.absolute())) if config else ())


@command(
    "token",
    tr("make a token for the HTTP server, and print it once"),
    argument("name", metavar="NAME", help=tr("who the token is for; runs are recorded under this name")),
    json=False,
    examples=("govma-console token ci > ci.token",),
)
def token(options: argparse.Namespace) -> None:
    """Make a token, and print it: standard output holds nothing else."""
    from govma_console.server.tokens import Tokens

    token_file = effective(options).token_file
    print(Tokens(token_file).add(options.name))
    warn(
        tr(
            "This is the only time it is shown; {token_file} keeps its hash. It is sent as a header:",
            token_file=token_file,
        )
    )
    warn('  curl -H "Authorization: Bearer $TOKEN" …')


@command(
    "units",
    tr("print the systemd units of the HTTP server"),
    flag("--install", tr("write them to /etc/systemd/system")),
    flag("--socket", tr("with a socket unit, so that no caller is lost during a restart")),
    json=False,
    examples=("govma-console units", "govma-console units --socket --install"),
)
def units(options: argparse.Namespace) -> None:
    """Print the units, or write them where systemd reads them."""
    from govma_console.server.systemd_units import SERVICE, SOCKET, install, make_units

    texts = make_units(effective(options), options.config, with_socket=options.socket)
    if not options.install:
        for name, text in texts.items():
            say(f"# {name}\n{text}")
        return
    for path in install(texts):
        warn(tr("Wrote {path}.", path=path))
    names = f"{SOCKET} {SERVICE}" if options.socket else SERVICE
    say(f"systemctl daemon-reload && systemctl enable --now {names}")
