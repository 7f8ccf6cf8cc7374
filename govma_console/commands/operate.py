"""Commands that start a run and follow it: deploy, promote, rollback."""

from __future__ import annotations

import argparse
from typing import Any

from govma_console.commands.follow import follow_started
from govma_console.commands.settings import effective
from govma_console.output import print_json
from govma_core.errors import ExitCode
from govma_core.runs.launch import start
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
    started = start(settings, operation, arguments, local_requester("cli"))
    if given.detach:
        print_json({"run": started.record.id}) if given.json else print(started.record.id)
        return ExitCode.OK
    record, code = follow_started(settings, started)
    if given.json:
        from govma_console.commands.runs import as_json

        print_json(as_json(record))
    elif code == ExitCode.OK:
        print(record.version)
    return code
