"""Commands that start a run and follow it: deploy, promote, rollback, check."""

from __future__ import annotations

import argparse
from typing import Any

from govma_console import reports
from govma_console.commands.follow import follow_started
from govma_console.commands.settings import effective
from govma_console.output import print_json
from govma_core.errors import ExitCode
from govma_core.runs.launch import start
from govma_core.runs.record import RunRecord
from govma_core.runs.requester import local_requester


def deploy(given: argparse.Namespace) -> int:
    """Start a deploy."""
    wanted = {"ref": given.ref, "rebuild": given.rebuild, "promote": not given.no_promote}
    return _run(given, "deploy", wanted | _tried(given) | ({"force": True} if given.force else {}))


def promote(given: argparse.Namespace) -> int:
    """Start a promotion."""
    return _run(given, "promote", {"version": given.wanted} | _tried(given))


def check(given: argparse.Namespace) -> int:
    """Start the rehearsal of a version."""
    return _run(given, "check", {"version": given.wanted})


def rollback(given: argparse.Namespace) -> int:
    """Start a rollback."""
    return _run(given, "rollback", {"version": given.wanted} | ({"keep_mark": True} if given.keep_mark else {}))


def follow_or_detach(
    given: argparse.Namespace, operation: str, arguments: dict[str, Any]
) -> tuple[RunRecord | None, int]:
    """Start a run and follow it to its end; give its record and exit code. With --detach print its id: no record."""
    settings = effective(given)
    started = start(settings, operation, arguments, local_requester("cli"))
    if given.detach:
        print_json({"run": started.record.id}) if given.json else print(started.record.id)
        return None, ExitCode.OK
    return follow_started(settings, started)


def _tried(given: argparse.Namespace) -> dict[str, Any]:
    return {"rehearse": False} if given.no_rehearsal else {}


def _run(given: argparse.Namespace, operation: str, arguments: dict[str, Any]) -> int:
    record, code = follow_or_detach(given, operation, arguments)
    if record is not None and given.json:
        print_json(reports.run(record))
    elif record is not None and code == ExitCode.OK:
        print(record.version)
    return code
