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
_NO_REHEARSAL = _flag("--no-rehearsal", "don't try the version before the switch (the run's record says so)")
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
            _NO_REHEARSAL,
            _flag("--force", "deploy though deploys, or those of this commit, are held (the run's record says so)"),
            _DETACH,
        ),
    ),
    Command(
        "promote",
        "make a version live",
        "operate",
        "promote",
        ((("wanted",), {"metavar": "VERSION", "help": _VERSION}), _NO_REHEARSAL, _DETACH),
    ),
    Command(
        "rollback",
        "go back to the version that was live before, or to a named one",
        "operate",
        "rollback",
        (
            (("wanted",), {"metavar": "VERSION", "nargs": "?", "help": _VERSION}),
            _flag("--keep-mark", "don't mark the version that is left as bad, and don't hold deploys of its commit"),
            _DETACH,
        ),
    ),
    Command(
        "check",
        "try a version as a deploy does before the switch, and switch nothing",
        "operate",
        "check",
        ((("wanted",), {"metavar": "VERSION", "help": _VERSION}), _DETACH),
    ),
    Command(
        "hold",
        "hold all deploys until somebody releases them",
        "holds",
        "hold",
        (
            (
                ("reason",),
                {"nargs": "*", "metavar": "REASON", "help": "why, for those who want to deploy"},
            ),
            (
                ("--until",),
                {
                    "metavar": "T",
                    "help": "the hold ends then: 2026-11-24T08:00, 2026-11-24, 18:30, or an age such as 2h",
                },
            ),
        ),
    ),
    Command(
        "release",
        "end all holds, those of commits that somebody rolled back from too (or only that of COMMIT)",
        "holds",
        "release",
        ((("commit",), {"nargs": "?", "metavar": "COMMIT", "help": "a held commit, or its unique beginning"}),),
    ),
    Command(
        "history",
        "tell which version was live from when to when, by whom, how, and with what result",
        "holds",
        "history",
        ((("-n", "--most"), {"type": int, "default": 20, "metavar": "N", "help": "how many (default 20)"}),),
    ),
    Command("list", "list the versions", "versions", "list_versions"),
    Command(
        "usage",
        "tell what each version takes on the disk, shares with others, and would free",
        "usage",
        "usage",
        (_flag("--rescan", "look at every file, trusting nothing that was measured before"),),
    ),
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
    Command(
        "prune",
        "remove old versions that nothing speaks for keeping",
        "retention",
        "prune",
        (
            (("--keep",), {"type": int, "metavar": "N", "help": "good versions to keep (setting keep_versions)"}),
            (
                ("--older-than",),
                {"metavar": "AGE", "help": "keep what is younger, such as 30d or 12h (setting keep_younger)"},
            ),
            _flag("--dry-run", "print what would be removed and why, and remove nothing"),
            _DETACH,
        ),
    ),
    Command(
        "dedupe",
        "have equal files of different versions take their space once",
        "disk",
        "dedupe",
        (
            _flag("--anywhere", "join files of different paths, too (never within the live version)"),
            (
                ("--reflink",),
                {"choices": ("auto", "always", "never"), "help": "share extents, not inodes (setting reflink)"},
            ),
            _flag("--dry-run", "tell what would be linked and freed, and change nothing"),
            _DETACH,
        ),
    ),
    Command(
        "verify",
        "name the files of a version (of all without VERSION) that changed since it was published",
        "disk",
        "verify",
        (
            (("wanted",), {"nargs": "?", "metavar": "VERSION", "help": _VERSION}),
            _flag("--all", "list every file, those that the CMS is known to write, too"),
        ),
    ),
    Command(
        "pin",
        "have prune keep a version",
        "retention",
        "pin",
        (
            (("wanted",), {"metavar": "VERSION", "help": _VERSION}),
            (("--reason",), {"metavar": "TEXT", "default": "", "help": "why, for those who read the list later"}),
        ),
    ),
    Command(
        "unpin",
        "let prune remove a version again",
        "retention",
        "unpin",
        ((("wanted",), {"metavar": "VERSION", "help": _VERSION}),),
    ),
    Command("attach", "follow the run that is going on; its exit code becomes ours", "runs", "attach", (_RUN,)),
    Command("cancel", "ask the run that is going on to stop", "runs", "cancel", (_RUN,)),
    Command(
        "trigger",
        "have the HTTP server deploy, show the log, and exit as the run did; Ctrl-C only detaches",
        "trigger",
        "trigger",
        ((("url",), {"nargs": "?", "metavar": "URL", "help": "default: http:// and the setting listen_addr"}),),
        reports=False,
    ),
    Command(
        "token",
        "make a token for the HTTP server, and print it once",
        "server",
        "token",
        ((("name",), {"metavar": "NAME", "help": "whose it is: runs are recorded under it"}),),
        reports=False,
    ),
    Command(
        "units",
        "print the systemd units of the HTTP server",
        "units",
        "units",
        (
            _flag("--install", "write them to /etc/systemd/system instead"),
            _flag("--socket", "with a socket unit, so that a restart loses no caller"),
        ),
        reports=False,
    ),
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
        "doctor",
        "look at everything a server needs, and tell what is wrong and which command mends it",
        "doctor",
        "doctor",
        (_flag("--fix", "make the directories that are missing, and give those there are to their owners"),),
    ),
    Command(
        "completion",
        "print what makes a shell complete commands, versions and runs",
        "completion",
        "completion",
        ((("shell",), {"choices": ("bash", "zsh", "fish"), "help": "the shell that is to complete"}),),
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
