"""Commands that start a run and follow it: deploy, promote, rollback."""

from __future__ import annotations

import argparse
from typing import Any

from govma_console.commands.follow import follow_to_end
from govma_console.commands.settings import effective
from govma_console.output import print_json
from govma_core.errors import ExitCode
from govma_core.runs.launch import prepared_store, start
from govma_core.runs.requester import local_requester


def deploy(given: argparse.Namespace) -> int:
    """Start a deploy."""
    return _run(given, "deploy", {"ref": given.ref, "rebuild": given.rebuild, "promote": not given.no_promote})


def promote(given: argparse.Namespace) -> int:
    """Start a promotion."""
    return _run(given, "promote", {"version": given.wanted})


def rollback(given: argparse.Namespace) -> int:
    """Start a rollback."""
    return _run(given, "rollback", {"version": given.wanted})


def _run(given: argparse.Namespace, operation: str, arguments: dict[str, Any]) -> int:
    settings = effective(given)
    record = start(settings, operation, arguments, local_requester("cli"))
    if given.detach:
        print_json({"run": record.id}) if given.json else print(record.id)
        return ExitCode.OK
    record = follow_to_end(prepared_store(settings), record.id, interrupt_cancels=True)
    if given.json:
        from govma_console.commands.runs import as_json

        print_json(as_json(record))
    elif record.exit_code == 0:
        print(record.version)
    return ExitCode.FAILED if record.exit_code is None else record.exit_code
