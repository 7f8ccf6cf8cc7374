"""The doctor's report, and what it may mend by itself."""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
from collections.abc import Iterable, Iterator

from govma_console.config_option import loaded
from govma_console.output import hinted, print_json, say, warn
from govma_core.context import Context
from govma_core.deploy import doctor as operation
from govma_core.deploy.doctor import Finding
from govma_core.errors import ExitCode
from govma_core.settings import LoadedSettings
from govma_core.text.language import counted, tr

_MARKS = {"ok": tr("ok   "), "note": tr("note "), "wrong": tr("WRONG")}


def doctor(given: argparse.Namespace) -> int:
    """Look at everything a server needs; with --fix make what can be made. Exit code 3 while something is wrong."""
    found = loaded(given)
    context = Context.for_reading(found.settings)
    if given.fix:
        _fix(operation.examine(context))
    findings = []
    for finding in _all(found, context):
        findings.append(finding)
        if not given.json:
            _tell(finding)
    wrong = [finding for finding in findings if finding.state == "wrong"]
    if given.json:
        print_json([dataclasses.asdict(finding) | {"command": hinted(finding.command)} for finding in findings])
    else:
        say()
        say(_verdict(wrong))
    return ExitCode.CONFIGURATION if wrong else ExitCode.OK


def _all(found: LoadedSettings, context: Context) -> Iterator[Finding]:
    from govma_console.server import doctor

    files = sorted({origin for origin in found.origins.values() if origin.startswith("/")})
    yield Finding("settings", "ok", ", ".join(files) or tr("no file: the defaults, and the environment"))
    yield from operation.examine(context)
    yield doctor.address(found.settings)
    yield from doctor.examine()


def _tell(finding: Finding) -> None:
    first, *rest = finding.said.split("\n")
    say(f"{_MARKS[finding.state]}  {tr(finding.what):<17} {first}")
    for line in rest:
        say(f"{'':24} {line}")
    if finding.mend:
        say(f"{'':24} → {finding.command}")


def _fix(findings: Iterable[Finding]) -> None:
    """Run the commands that only make directories or give them to their owners, and tell so."""
    for finding in findings:
        if finding.state != "ok" and finding.safe:
            done = subprocess.run(finding.mend, capture_output=True, text=True, check=False)
            said = done.stderr.strip()
            warn(f"$ {finding.command}" + (f"\n{said}" if said else ""))


def _verdict(wrong: list[Finding]) -> str:
    if not wrong:
        return tr("Nothing is wrong. `govma-console deploy` deploys.")
    safe = sum(finding.safe for finding in wrong)
    rest = tr("; `govma-console doctor --fix` fixes {safe} of them", safe=safe) if safe else ""
    return tr("{problems} found{rest}.", problems=counted(len(wrong), "problem", "problems"), rest=rest)
