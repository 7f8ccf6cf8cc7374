"""Commands that start a run and follow it: deploy, promote, rollback, check."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable
from typing import Any

from govma_console import reports
from govma_console.cli.follow import follow_started
from govma_console.config_option import effective
from govma_console.formats import local_time
from govma_console.narration import Narrator
from govma_console.output import print_json, print_table, say
from govma_core.context import Context
from govma_core.deploy.pending import pending
from govma_core.deploy.source import Commit
from govma_core.errors import ExitCode
from govma_core.reporting import Reporter
from govma_core.runs.launch import local_requester, start
from govma_core.runs.store import RunRecord
from govma_core.text.language import tr


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


def show_pending(given: argparse.Namespace) -> int:
    """Print the commits between what is live and what would be deployed."""
    context = Context.for_reading(effective(given), Reporter(Narrator(sys.stderr).tell))
    found = pending(context, ref=given.ref, fetch=not given.no_fetch)
    if given.json:
        print_json(dataclasses.asdict(found))
        return ExitCode.OK
    if found.commits is None:
        what = tr("{live} has no recorded commit", live=found.live) if found.live else tr("nothing is live")
        say(
            tr(
                "{short} {subject} would be deployed; {what}, so there is no list.",
                short=found.target.short,
                subject=found.target.subject,
                what=what,
            )
        )
        _say_containers(found.containers)
        return ExitCode.OK
    if not found.commits and not found.undone:
        say(tr("Nothing is pending: {short} is live.", short=found.target.short))
    _print(found.commits)
    if found.undone:
        say(tr("Live now, and not in what would be deployed:"))
        _print(found.undone)
    _say_containers(found.containers)
    return ExitCode.OK


def _say_containers(sentence: str) -> None:
    if sentence:
        say(sentence)


def _print(commits: list[Commit]) -> None:
    if commits:
        rows = [(commit.short, local_time(commit.committed), commit.author, commit.subject) for commit in commits]
        print_table((tr("COMMIT"), tr("TIME"), tr("AUTHOR"), tr("SUBJECT")), rows, cut=(3, 2), drop=(1,))
