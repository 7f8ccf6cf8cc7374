"""What would be on the disk when the power fails: the order of syncfs, rename and fsync, as strace sees it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from govma_core.runs.launch import Requester, write_down
from govma_core.runs.store import LAST
from tests.faults.result import Result
from tests.support.crashes import CrashSite
from tests.support.engine import REPOSITORY
from tests.support.journal import Call, is_official, unsafe

_CALLS = "syncfs,fsync,fdatasync,rename,renameat,renameat2,link,linkat"
_LINE = re.compile(r"(?P<call>\w+)\((?P<arguments>.*)\) += 0")
_SYNCED = re.compile(r"\d+<(?P<path>[^>]*)>")
_NAMED = re.compile(r'(?:(?:AT_FDCWD|\d+)<(?P<at>[^>]*)>, )?"(?P<name>[^"]*)"')


def sweep(folder: Path) -> Result:
    """Trace a deploy and a rollback, and look at the order of what they do."""
    folder.chmod(0o755)
    site = CrashSite.make(folder / "site")
    calls: list[Call] = []
    for operation in ("deploy", "rollback"):
        traced = trace(site, operation)
        site.problems += [f"{operation}: {problem}" for problem in judged(site, operation, traced)]
        calls += traced
    for problem in site.problems[:20]:
        print(f"  {problem}", file=sys.stderr)
    return Result(
        "power loss: every rename that makes a version, a link or a record official, traced",
        f"{len(calls)} calls of a deploy and a rollback",
        "that file synced just before, its directory just after",
        len(site.problems),
        len(calls),
    )


def trace(site: CrashSite, operation: str) -> list[Call]:
    """Run the operation under strace; give its own calls, in order, and not those of the processes that it starts.

    Each has a file of its own: in a common one a call that another process interrupts is cut in two.
    """
    record = write_down(site.store, site.settings, operation, {}, Requester("ana", "test"))
    out = site.sample.root / "trace"
    line = [sys.executable, "-m", "govma_core.runs.runner", str(site.settings.state_dir), record.id]
    subprocess.run(
        ["strace", "-ff", "-y", "-s", "4096", "-e", f"trace={_CALLS}", "-o", out, *line], cwd=REPOSITORY, check=True
    )
    own = out.with_name(f"{out.name}.{site.store.read(record.id).pid}")
    matches = (_LINE.match(text) for text in own.read_text(errors="replace").splitlines())
    return [_call(match["call"], match["arguments"]) for match in matches if match]


def _call(call: str, arguments: str) -> Call:
    if match := _SYNCED.match(arguments) if "sync" in call else None:
        return Call("syncfs" if call == "syncfs" else "fsync", Path(match["path"]))
    source, path = (Path(match["at"] or "/", match["name"]) for match in _NAMED.finditer(arguments))
    return Call("name", path, source)


def judged(site: CrashSite, operation: str, calls: list[Call]) -> list[str]:
    """Tell what is not in the order that survives a power cut."""
    settings = site.settings
    names, problems = unsafe(calls, lambda path: is_official(path, settings))
    ends, unwritten = unsafe([call for call in calls if call.source is None or call.source.name == LAST], _is_of_a_run)
    problems += unwritten
    version = site.versions.pointer().version or ""
    made = [f"{version}.json.z", f"{version}.json", version]
    order = [*(made if operation == "deploy" else ()), "current-version"]
    if [name for name in names if name in order] != order or ends != ["run.json"]:
        problems.append(f"renamed, in this order: {', '.join(names + ends)}; expected: {', '.join(order)}, run.json")
    return problems


def _is_of_a_run(path: Path) -> bool:
    return path.name == "run.json"
