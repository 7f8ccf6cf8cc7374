"""The table of commands: name, what it does, arguments, and where its code is."""

from __future__ import annotations

from pathlib import Path

from govma_console.commands.command import Argument, Command, flag
from govma_core.language import tr

_REF: Argument = ("--ref",), {"metavar": "REF", "help": tr("branch, tag or commit instead of the configured branch")}
_NO_REHEARSAL = flag("--no-rehearsal", tr("don't test the version before the switch (this is recorded)"))
_DETACH = flag("--detach", tr("start the run, print its id, and return at once"))
_RUN: Argument = (
    ("run",),
    {"nargs": "?", "metavar": "RUN", "help": tr("id of a run, or any unambiguous beginning or end of it")},
)
_VERSION = tr("a version: its name or any unambiguous prefix, with or without data-build--")

COMMANDS: tuple[Command, ...] = (
    Command(
        "deploy",
        tr("build the remote's branch as a new version and make it live"),
        "operate",
        "deploy",
        (
            _REF,
            flag("--rebuild", tr("build the assets even if a cached build could be used")),
            flag("--no-promote", tr("publish the version, but don't make it live")),
            _NO_REHEARSAL,
            flag("--force", tr("deploy even while deploys, or those of this commit, are held (this is recorded)")),
            _DETACH,
        ),
    ),
    Command(
        "promote",
        tr("make a version live, or prove the live one once more"),
        "operate",
        "promote",
        ((("wanted",), {"metavar": "VERSION", "help": _VERSION}), _NO_REHEARSAL, _DETACH),
    ),
    Command(
        "rollback",
        tr("go back to the version that was live before, or to a named one"),
        "operate",
        "rollback",
        (
            (("wanted",), {"metavar": "VERSION", "nargs": "?", "help": _VERSION}),
            flag("--keep-mark", tr("don't mark the current version as bad, and don't hold deploys of its commit")),
            _DETACH,
        ),
    ),
    Command(
        "check",
        tr("test a version as a deploy would, without making it live"),
        "operate",
        "check",
        ((("wanted",), {"metavar": "VERSION", "help": _VERSION}), _DETACH),
    ),
    Command(
        "hold",
        tr("hold all deploys until somebody releases them"),
        "holds",
        "hold",
        (
            (
                ("reason",),
                {"nargs": "*", "metavar": "REASON", "help": tr("reason, shown to anyone who tries to deploy")},
            ),
            (
                ("--until",),
                {
                    "metavar": "T",
                    "help": tr(
                        "when the hold ends: 2026-11-24T08:00, 2026-11-24, 18:30, or a time from now such as 2h"
                    ),
                },
            ),
        ),
    ),
    Command(
        "release",
        tr("end all holds, including those that rollbacks left (or only that of COMMIT)"),
        "holds",
        "release",
        (
            (
                ("commit",),
                {"nargs": "?", "metavar": "COMMIT", "help": tr("a held commit, or any unambiguous prefix of it")},
            ),
        ),
    ),
    Command(
        "history",
        tr("show which version was live from when to when, by whom, how, and with what result"),
        "holds",
        "history",
        ((("-n", "--most"), {"type": int, "default": 20, "metavar": "N", "help": tr("how many (default 20)")}),),
    ),
    Command("list", tr("list the versions"), "versions", "list_versions"),
    Command(
        "usage",
        tr("show what each version takes on the disk, shares with others, and would free"),
        "usage",
        "usage",
        (flag("--rescan", tr("measure every file again instead of using remembered sizes")),),
    ),
    Command("status", tr("show what is live, what is running, and the result of the last run"), "status", "status"),
    Command(
        "pending",
        tr("list the commits between what is live and what would be deployed"),
        "pending",
        "show_pending",
        (_REF, flag("--no-fetch", tr("don't fetch; compare with what was fetched last"))),
    ),
    Command(
        "runs",
        tr("list the runs, the latest first"),
        "runs",
        "list_runs",
        ((("-n", "--most"), {"type": int, "default": 20, "metavar": "N", "help": tr("how many (default 20)")}),),
    ),
    Command(
        "log",
        tr("print the log of a run (without RUN: of the latest)"),
        "runs",
        "log",
        (_RUN, (("-f", "--follow"), {"action": "store_true", "help": tr("keep following until the run ends")})),
    ),
    Command(
        "prune",
        tr("remove old versions that there is no reason to keep"),
        "retention",
        "prune",
        (
            (("--keep",), {"type": int, "metavar": "N", "help": tr("good versions to keep (setting keep_versions)")}),
            (
                ("--older-than",),
                {"metavar": "AGE", "help": tr("keep what is younger, such as 30d or 12h (setting keep_younger)")},
            ),
            flag("--dry-run", tr("print what would be removed and why, and remove nothing")),
            _DETACH,
        ),
    ),
    Command(
        "dedupe",
        tr("store identical files of different versions only once"),
        "disk",
        "dedupe",
        (
            flag("--anywhere", tr("also link files with different paths (never within the live version)")),
            (
                ("--reflink",),
                {
                    "choices": ("auto", "always", "never"),
                    "help": tr("share blocks instead of inodes (setting reflink)"),
                },
            ),
            flag("--dry-run", tr("print what would be linked and freed, and change nothing")),
            _DETACH,
        ),
    ),
    Command(
        "verify",
        tr("list the files of a version (without VERSION: of all) that changed since it was published"),
        "disk",
        "verify",
        (
            (("wanted",), {"nargs": "?", "metavar": "VERSION", "help": _VERSION}),
            flag("--all", tr("list every file, including those that the CMS is known to write")),
        ),
    ),
    Command(
        "pin",
        tr("keep prune from removing a version"),
        "retention",
        "pin",
        (
            (("wanted",), {"metavar": "VERSION", "help": _VERSION}),
            (("--reason",), {"metavar": "TEXT", "help": tr("reason, shown in the list of versions")}),
        ),
    ),
    Command(
        "unpin",
        tr("let prune remove a version again"),
        "retention",
        "unpin",
        ((("wanted",), {"metavar": "VERSION", "help": _VERSION}),),
    ),
    Command(
        "services",
        tr("show the site's containers, and where they differ from the compose file"),
        "services",
        "services",
        (flag("--disk", tr("measure the persistent directories")),),
        actions=(
            Command(
                "up",
                tr("rebuild images, and restart the containers that changed (downtime; undone if it fails)"),
                "services",
                "up",
                (
                    (("names",), {"nargs": "*", "metavar": "SERVICE", "help": tr("restart only these services")}),
                    flag("--sync", tr("first move prod-env forward to the live commit")),
                    flag("--yes", tr("don't ask for confirmation by the project's name")),
                    _DETACH,
                ),
            ),
            Command(
                "log",
                tr("print the last lines of a service's output"),
                "services",
                "log",
                (
                    (("name",), {"metavar": "SERVICE"}),
                    (("-f", "--follow"), {"action": "store_true", "help": tr("keep following until Ctrl-C")}),
                    (
                        ("-n", "--lines"),
                        {"type": int, "default": 50, "metavar": "N", "help": tr("how many (default 50)")},
                    ),
                ),
                reports=False,
            ),
        ),
    ),
    Command("attach", tr("follow the current run, and exit with its exit code"), "runs", "attach", (_RUN,)),
    Command("cancel", tr("ask the current run to stop"), "runs", "cancel", (_RUN,)),
    Command(
        "trigger",
        tr("have the HTTP server deploy, show the log, and exit with the run's exit code; Ctrl-C only stops following"),
        "trigger",
        "trigger",
        (
            (
                ("url",),
                {
                    "nargs": "?",
                    "metavar": "URL",
                    "help": tr("default: http:// and the address in the setting listen_addr"),
                },
            ),
        ),
        reports=False,
    ),
    Command(
        "token",
        tr("make a token for the HTTP server, and print it once"),
        "server",
        "token",
        ((("name",), {"metavar": "NAME", "help": tr("who the token is for; runs are recorded under this name")}),),
        reports=False,
    ),
    Command(
        "units",
        tr("print the systemd units of the HTTP server"),
        "units",
        "units",
        (
            flag("--install", tr("write them to /etc/systemd/system")),
            flag("--socket", tr("with a socket unit, so that no caller is lost during a restart")),
        ),
        reports=False,
    ),
    Command("config", tr("print the effective settings and where each comes from"), "config", "config"),
    Command(
        "init",
        tr("write a commented settings file"),
        "init",
        "init",
        (
            (
                ("--from",),
                {
                    "dest": "script",
                    "type": Path,
                    "metavar": "run-deploy.sh",
                    "help": tr("take the settings from the exports of this script"),
                },
            ),
            (
                ("-o", "--output"),
                {"type": Path, "metavar": "FILE", "help": tr("file to write (default /etc/govma-console.toml)")},
            ),
            flag("--force", tr("replace an existing file")),
        ),
        reports=False,
    ),
    Command(
        "doctor",
        tr("check everything a server needs, and say what is wrong and which command fixes it"),
        "doctor",
        "doctor",
        (flag("--fix", tr("create missing directories, and set owners")),),
    ),
    Command(
        "completion",
        tr("print a completion script for commands, versions and runs"),
        "completion",
        "completion",
        ((("shell",), {"choices": ("bash", "zsh", "fish"), "help": tr("the shell it is for")}),),
        reports=False,
    ),
    Command(
        "demo",
        tr("deploy a sample site in a folder, without root and without Docker"),
        "demo",
        "demo",
        (
            (
                ("folder",),
                {
                    "nargs": "?",
                    "type": Path,
                    "metavar": "FOLDER",
                    "help": tr("default ~/govma-demo (/var/tmp/govma-demo where root's home is closed)"),
                },
            ),
            flag("--remove", tr("remove the sample site")),
        ),
        reports=False,
    ),
)
