"""The command doctor: what a server needs and does not have, and which command mends it."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING

from govma_console.cli.command import command, flag
from govma_console.config_option import loaded, reading_context
from govma_console.output import hinted, outlive_readers, print_json, say, warn
from govma_core.errors import ExitCode
from govma_core.text.language import counted, tr

if TYPE_CHECKING:
    from govma_core.deploy.doctor import Finding

_MARKS = {"ok": tr("ok   "), "note": tr("note "), "wrong": tr("WRONG")}


@command(
    "doctor",
    tr("check everything a server needs, and say what is wrong and which command fixes it"),
    flag("--fix", tr("create missing directories, and set owners")),
    examples=("govma-console doctor", "govma-console doctor --fix"),
)
def doctor(options: argparse.Namespace) -> int:
    """Check everything a server needs; with --fix mend first what is safe to mend. Exit with 3 while it is not well."""
    from govma_console.server import doctor as server
    from govma_core.deploy import doctor as site

    outlive_readers()
    settings = loaded(options)
    context = reading_context(settings.settings)
    if options.fix:
        _fix(site.examine(context))
    file = os.path.abspath(settings.file) if settings.file else tr("no file: the defaults, and the environment")
    source = site.Finding("settings", "ok", file)
    findings = []
    for finding in chain([source], site.examine(context), server.examine(settings.settings)):
        findings.append(finding)
        if not options.json:
            _print_finding(finding)
    problems = [finding for finding in findings if finding.state == "wrong"]
    if options.json:
        print_json([dataclasses.asdict(finding) | {"command": hinted(finding.command)} for finding in findings])
    else:
        say()
        is_held = any(finding.what == "holds" for finding in findings)
        say(_verdict(problems, is_held=is_held))
    return ExitCode.CONFIGURATION if problems else ExitCode.OK


def _print_finding(finding: Finding) -> None:
    first_line, *more_lines = finding.said.split("\n")
    say(f"{_MARKS[finding.state]}  {tr(finding.what):<17} {first_line}")
    for line in more_lines:
        say(f"{'':24} {line}")
    if finding.mend:
        say(f"{'':24} → {finding.command}")


def _fix(findings: Iterable[Finding]) -> None:
    """Run the commands that only make directories or set their owners, and print each with its errors."""
    import subprocess

    for finding in findings:
        if finding.state != "ok" and finding.safe:
            process = subprocess.run(finding.mend, capture_output=True, text=True, check=False)
            errors = process.stderr.strip()
            warn(f"$ {finding.command}" + (f"\n{errors}" if errors else ""))


def _verdict(problems: list[Finding], *, is_held: bool) -> str:
    if not problems and is_held:
        return tr("Nothing is wrong with this server, but a deploy would be refused now: it is held.")
    if not problems:
        return tr("Nothing is wrong. `govma-console deploy` deploys.")
    safe = sum(finding.safe for finding in problems)
    rest = tr("; `govma-console doctor --fix` fixes {safe} of them", safe=safe) if safe else ""
    return tr("{problems} found{rest}.", problems=counted(len(problems), "problem", "problems"), rest=rest)
