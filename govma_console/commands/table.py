"""The table of commands: name, what it does, arguments, and where its code is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

Argument = tuple[tuple[str, ...], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Command:
    """One command; `reports` gives it --json."""

    name: str
    help: str
    module: str
    function: str
    arguments: tuple[Argument, ...] = ()
    reports: bool = True


def _flag(name: str, text: str) -> Argument:
    return (name,), {"action": "store_true", "help": text}


_REF: Argument = ("--ref",), {"metavar": "REF", "help": "branch, tag or commit instead of the configured branch"}
_DETACH = _flag("--detach", "start the run, print its id, and leave")
_RUN: Argument = ("run",), {"nargs": "?", "metavar": "RUN", "help": "id of a run (or its unique beginning or end)"}
_VERSION = "name of a version, or its unique beginning (data-build-- may be left out)"

COMMANDS: tuple[Command, ...] = (
    Command(
        "deploy",
        "build the remote's branch as a new version and make it live",
        "operate",
        "deploy",
        (
            _REF,
            _flag("--rebuild", "build the assets even when a recorded build could be used"),
            _flag("--no-promote", "publish the version, but don't make it live"),
            _DETACH,
        ),
    ),
    Command(
        "promote",
        "make a version live",
        "operate",
        "promote",
        ((("wanted",), {"metavar": "VERSION", "help": _VERSION}), _DETACH),
    ),
    Command(
        "rollback",
        "go back to the version that was live before, or to a named one",
        "operate",
        "rollback",
        ((("wanted",), {"metavar": "VERSION", "nargs": "?", "help": _VERSION}), _DETACH),
    ),
    Command("list", "list the versions", "versions", "list_versions"),
    Command("status", "show what is live, what runs, and what the last run came to", "status", "status"),
    Command(
        "pending",
        "list the commits between what is live and what would be deployed",
        "pending",
        "show_pending",
        (_REF, _flag("--no-fetch", "compare with what was fetched last")),
    ),
    Command(
        "runs",
        "list the runs, the latest first",
        "runs",
        "list_runs",
        ((("-n", "--most"), {"type": int, "default": 20, "metavar": "N", "help": "how many (default 20)"}),),
    ),
    Command(
        "log",
        "print the log of a run (the latest without RUN)",
        "runs",
        "log",
        (_RUN, (("-f", "--follow"), {"action": "store_true", "help": "go on until the run ends"})),
    ),
    Command("attach", "follow the run that is going on; its exit code becomes ours", "runs", "attach", (_RUN,)),
    Command("cancel", "ask the run that is going on to stop", "runs", "cancel", (_RUN,)),
    Command("config", "print the effective settings, and where each came from", "config", "config"),
    Command(
        "init",
        "write a commented settings file",
        "init",
        "init",
        (
            (("--from",), {"dest": "script", "type": Path, "metavar": "run-deploy.sh", "help": "take its exports"}),
            (
                ("-o", "--output"),
                {"type": Path, "metavar": "FILE", "help": "where to (default /etc/govma-console.toml)"},
            ),
            _flag("--force", "replace a file that is there"),
        ),
        reports=False,
    ),
    Command(
        "demo",
        "deploy a sample site in a folder of yours, without root and without Docker",
        "demo",
        "demo",
        (
            (
                ("folder",),
                {
                    "nargs": "?",
                    "type": Path,
                    "metavar": "FOLDER",
                    "help": "default ~/govma-demo (/var/tmp/govma-demo where root's home is closed)",
                },
            ),
            _flag("--remove", "remove the sample site"),
        ),
        reports=False,
    ),
)
