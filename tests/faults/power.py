"""What would be on the disk when the power fails: the order of syncfs, rename and fsync, as strace sees it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from govma_core.runs.launch import Requester, write_down
from tests.faults.result import Result
from tests.support.crashes import CrashSite
from tests.support.engine import REPOSITORY

_CALLS = "syncfs,fsync,fdatasync,rename,renameat,renameat2"
_LINE = re.compile(r"(?:\[pid +\d+\] |\d+ +)?(?P<call>\w+)\((?P<arguments>.*)\) += 0")
_FD = re.compile(r"\d+<(?P<path>[^>]*)>")


def sweep(folder: Path) -> Result:
    """Trace a deploy and a rollback, and look at the order of what they do."""
    folder.chmod(0o755)
    site = CrashSite.make(folder / "site")
    calls: list[tuple[str, str]] = []
    for operation in ("deploy", "rollback"):
        traced = trace(site, operation)
        site.problems += [f"{operation}: {problem}" for problem in judged(site, operation, traced)]
        calls += traced
    for problem in site.problems[:20]:
        print(f"  {problem}", file=sys.stderr)
    return Result(
        "power loss: every rename that makes a version, a link or a record official, traced",
        f"{len(calls)} calls of a deploy and a rollback",
        "synced before, the directory synced after",
        len(site.problems),
        len(calls),
    )


def trace(site: CrashSite, operation: str) -> list[tuple[str, str]]:
    """Run the operation under strace; give its calls with their arguments, in order."""
    record = write_down(site.store, site.settings, operation, {}, Requester("ana", "test"))
    out = site.sample.root / "trace"
    line = [sys.executable, "-m", "govma_core.runs.runner", str(site.settings.state_dir), record.id]
    subprocess.run(
        ["strace", "-f", "-y", "-s", "4096", "-e", f"trace={_CALLS}", "-o", out, *line], cwd=REPOSITORY, check=True
    )
    found = (_LINE.match(text) for text in out.read_text(errors="replace").splitlines())
    return [(match["call"], match["arguments"]) for match in found if match]


def judged(site: CrashSite, operation: str, calls: list[tuple[str, str]]) -> list[str]:
    """Tell what is not in the order that survives a power cut."""
    versions = str(site.settings.versions_dir)
    problems = []
    official = 0
    for number, (call, arguments) in enumerate(calls):
        if not call.startswith("rename"):
            continue
        version = re.search(r'"(data-build--[^"/]*)"(?:, RENAME_NOREPLACE)?$', arguments)
        pointer = arguments.rstrip().endswith('"current-version"')
        if (version and ".govma-removed" not in arguments) or pointer:
            official += 1
            what = "current-version" if pointer else version[1] if version else ""
            # What is in the version was written in the work dir, which is on the same file system here.
            places = (versions,) if pointer else (versions, str(site.settings.work_dir))
            if not any(_synced(calls[max(0, number - 6) : number], place, "syncfs") for place in places):
                problems.append(f"{what}: no syncfs just before its rename")
            if not _synced(calls[number + 1 : number + 3], versions):
                problems.append(f"{what}: the directory is not synced after its rename")
    wanted = 2 if operation == "deploy" else 1
    if official != wanted:
        problems.append(f"{official} renames of versions and links, {wanted} expected")
    last = [number for number, (call, text) in enumerate(calls) if call.startswith("rename") and "/.last" in text]
    if len(last) != 1 or calls[last[0] - 1][0] != "fsync" or calls[last[0] + 1][0] != "fsync":
        problems.append("the run's last record is not on the disk when the run ends")
    if operation == "deploy":
        renames = [(n, call, text) for n, (call, text) in enumerate(calls) if call.startswith("rename")]
        manifest = [n for n, _, text in renames if "/state/versions/" in text]
        named = [n for n, call, text in renames if call == "renameat2" and "data-build--" in text]
        if not manifest or not named or manifest[0] > named[0] or calls[manifest[0] - 1][0] != "fsync":
            problems.append("the manifest is not on the disk before its version has its name")
    return problems


def _synced(calls: list[tuple[str, str]], directory: str, wanted: str = "fsync") -> bool:
    for call, arguments in calls:
        match = _FD.match(arguments)
        if call == wanted and match and (match["path"] == directory or match["path"].startswith(f"{directory}/")):
            return True
    return False
