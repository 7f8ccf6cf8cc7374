"""The command trigger: a deploy by the HTTP server, as the original's curl to /deploy did it."""

from __future__ import annotations

import argparse

from govma_console.cli.command import argument, command
from govma_console.config_option import effective
from govma_console.output import outlive_readers, warn
from govma_core.errors import ExitCode
from govma_core.text.language import tr


@command(
    "trigger",
    tr("have the HTTP server deploy, show the log, and exit with the run's exit code; Ctrl-C only stops following"),
    argument(
        "url",
        nargs="?",
        metavar="URL",
        help=tr("default: http:// and the address in the setting listen_addr"),
    ),
    json=False,
    examples=("govma-console trigger", "govma-console trigger http://127.0.0.1:50024"),
)
def trigger(options: argparse.Namespace) -> int:
    """Ask the server for a deploy, and print the log until the run ends. Exit with the run's exit code.

    Exit with 4 when the server is busy, 5 when deploys are held, 1 when no server answers.
    """
    from govma_console.cli.trigger_client import ServerClient

    outlive_readers()
    client = ServerClient(options.url or effective(options).listen_addr)
    run_id, response = client.deploy()
    try:
        return client.follow(run_id, response)
    except KeyboardInterrupt:
        warn(tr("The run continues. `govma-console attach {run}` follows it.", run=run_id))
        return ExitCode.CANCELLED
