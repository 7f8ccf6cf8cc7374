"""Commands that start a run and follow it: deploy, promote, rollback, check."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from govma_console import reports
from govma_console.commands.follow import follow_started
from govma_console.commands.settings import effective
from govma_console.output import print_json, say
from govma_core.errors import ExitCode
from govma_core.runs.launch import start
from govma_core.runs.record import RunRecord
from govma_core.runs.requester import local_requester


def deploy(given: argparse.Namespace) -> int:
    """Start a deploy."""
    wanted = {"ref": given.ref, "rebuild": given.rebuild, "promote": not given.no_promote}
    return follow_or_detach(
        given, "deploy", wanted | _tried(given) | ({"force": True} if given.force else {}), _show_version
    )


def promote(given: argparse.Namespace) -> int:
    """Start a promotion."""
    return follow_or_detach(given, "promote", {"version": given.wanted} | _tried(given), _show_version)


def check(given: argparse.Namespace) -> int:
    """Start the rehearsal of a version."""
    return follow_or_detach(given, "check", {"version": given.wanted}, _show_version)


def rollback(given: argparse.Namespace) -> int:
    """Start a rollback."""
    return follow_or_detach(
        given, "rollback", {"version": given.wanted} | ({"keep_mark": True} if given.keep_mark else {}), _show_version
    )


def follow_or_detach(
    given: argparse.Namespace, operation: str, arguments: dict[str, Any], show: Callable[[RunRecord], None]
) -> int:
    """Start a run and follow it to its end; show its record, and give its exit code. With --detach print its id."""
    settings = effective(given)
    started = start(settings, operation, arguments, local_requester("cli"))
    if given.detach:
        print_json({"run": started.record.id}) if given.json else print(started.record.id)
        return ExitCode.OK
    record, code = follow_started(settings, started)
    print_json(reports.run(record)) if given.json else show(record)
    return code


def show_message(record: RunRecord) -> None:
    """Print what a run that went well came to; why another did not was told while it was followed."""
    if record.exit_code == ExitCode.OK:
        say(record.message)


def _show_version(record: RunRecord) -> None:
    if record.exit_code == ExitCode.OK:
        print(record.version)


def _tried(given: argparse.Namespace) -> dict[str, Any]:
    return {"rehearse": False} if given.no_rehearsal else {}
