"""The table of commands: name, what it does, arguments, and where its code is."""

from __future__ import annotations

from pathlib import Path

from govma_console.commands.command import Argument, Command, flag
from govma_core.language import tr

_REF: Argument = ("--ref",), {"metavar": "REF", "help": tr("branch, tag or commit instead of the configured branch")}
_NO_REHEARSAL = flag("--no-rehearsal", tr("don't try the version before the switch (the run's record says so)"))
_DETACH = flag("--detach", tr("start the run, print its id, and leave"))
_RUN: Argument = ("run",), {"nargs": "?", "metavar": "RUN", "help": tr("id of a run (or its unique beginning or end)")}
_VERSION = tr("name of a version, or its unique beginning (data-build-- may be left out)")

COMMANDS: tuple[Command, ...] = (
    Command(
        "deploy",
        tr("build the remote's branch as a new version and make it live"),
        "operate",
        "deploy",
        (
            _REF,
            flag("--rebuild", tr("build the assets even when a recorded build could be used")),
            flag("--no-promote", tr("publish the version, but don't make it live")),
            _NO_REHEARSAL,
            flag("--force", tr("deploy though deploys, or those of this commit, are held (the run's record says so)")),
            _DETACH,
        ),
    ),
    Command(
        "promote",
        tr("make a version live"),
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
            flag("--keep-mark", tr("don't mark the version that is left as bad, and don't hold deploys of its commit")),
            _DETACH,
        ),
    ),
    Command(
        "check",
        tr("try a version as a deploy does before the switch, and switch nothing"),
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
                {"nargs": "*", "metavar": "REASON", "help": tr("why, for those who want to deploy")},
            ),
            (
                ("--until",),
                {
                    "metavar": "T",
                    "help": tr("the hold ends then: 2026-11-24T08:00, 2026-11-24, 18:30, or an age such as 2h"),
                },
            ),
        ),
    ),
    Command(
        "release",
        tr("end all holds, those of commits that somebody rolled back from too (or only that of COMMIT)"),
        "holds",
        "release",
        ((("commit",), {"nargs": "?", "metavar": "COMMIT", "help": tr("a held commit, or its unique beginning")}),),
    ),
    Command(
        "history",
        tr("tell which version was live from when to when, by whom, how, and with what result"),
        "holds",
        "history",
        ((("-n", "--most"), {"type": int, "default": 20, "metavar": "N", "help": tr("how many (default 20)")}),),
    ),
    Command("list", tr("list the versions"), "versions", "list_versions"),
    Command(
        "usage",
        tr("tell what each version takes on the disk, shares with others, and would free"),
        "usage",
        "usage",
        (flag("--rescan", tr("look at every file, trusting nothing that was measured before")),),
    ),
    Command("status", tr("show what is live, what runs, and what the last run came to"), "status", "status"),
    Command(
        "pending",
        tr("list the commits between what is live and what would be deployed"),
        "pending",
        "show_pending",
        (_REF, flag("--no-fetch", tr("compare with what was fetched last"))),
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
        tr("print the log of a run (the latest without RUN)"),
        "runs",
        "log",
        (_RUN, (("-f", "--follow"), {"action": "store_true", "help": tr("go on until the run ends")})),
    ),
    Command(
        "prune",
        tr("remove old versions that nothing speaks for keeping"),
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
        tr("have equal files of different versions take their space once"),
        "disk",
        "dedupe",
        (
            flag("--anywhere", tr("join files of different paths, too (never within the live version)")),
            (
                ("--reflink",),
                {"choices": ("auto", "always", "never"), "help": tr("share extents, not inodes (setting reflink)")},
            ),
            flag("--dry-run", tr("tell what would be linked and freed, and change nothing")),
            _DETACH,
        ),
    ),
    Command(
        "verify",
        tr("name the files of a version (of all without VERSION) that changed since it was published"),
        "disk",
        "verify",
        (
            (("wanted",), {"nargs": "?", "metavar": "VERSION", "help": _VERSION}),
            flag("--all", tr("list every file, those that the CMS is known to write, too")),
        ),
    ),
    Command(
        "pin",
        tr("have prune keep a version"),
        "retention",
        "pin",
        (
            (("wanted",), {"metavar": "VERSION", "help": _VERSION}),
            (("--reason",), {"metavar": "TEXT", "help": tr("why, for those who read the list later")}),
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
        tr("show the site's containers, and where they differ from what is wanted"),
        "services",
        "services",
        (flag("--disk", tr("measure what the persistent directories take")),),
        actions=(
            Command(
                "up",
                tr("rebuild images, and restart the containers that changed (downtime; what fails is put back)"),
                "services",
                "up",
                (
                    (("names",), {"nargs": "*", "metavar": "SERVICE", "help": tr("only these")}),
                    flag("--sync", tr("move prod-env forward to the deployed commit before")),
                    flag("--yes", tr("don't ask for the project's name")),
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
                    (("-f", "--follow"), {"action": "store_true", "help": tr("go on until Ctrl-C")}),
                    (
                        ("-n", "--lines"),
                        {"type": int, "default": 50, "metavar": "N", "help": tr("how many (default 50)")},
                    ),
                ),
                reports=False,
            ),
        ),
    ),
    Command("attach", tr("follow the run that is going on; its exit code becomes ours"), "runs", "attach", (_RUN,)),
    Command("cancel", tr("ask the run that is going on to stop"), "runs", "cancel", (_RUN,)),
    Command(
        "trigger",
        tr("have the HTTP server deploy, show the log, and exit as the run did; Ctrl-C only detaches"),
        "trigger",
        "trigger",
        ((("url",), {"nargs": "?", "metavar": "URL", "help": tr("default: http:// and the setting listen_addr")}),),
        reports=False,
    ),
    Command(
        "token",
        tr("make a token for the HTTP server, and print it once"),
        "server",
        "token",
        ((("name",), {"metavar": "NAME", "help": tr("whose it is: runs are recorded under it")}),),
        reports=False,
    ),
    Command(
        "units",
        tr("print the systemd units of the HTTP server"),
        "units",
        "units",
        (
            flag("--install", tr("write them to /etc/systemd/system instead")),
            flag("--socket", tr("with a socket unit, so that a restart loses no caller")),
        ),
        reports=False,
    ),
    Command("config", tr("print the effective settings, and where each came from"), "config", "config"),
    Command(
        "init",
        tr("write a commented settings file"),
        "init",
        "init",
        (
            (("--from",), {"dest": "script", "type": Path, "metavar": "run-deploy.sh", "help": tr("take its exports")}),
            (
                ("-o", "--output"),
                {"type": Path, "metavar": "FILE", "help": tr("where to (default /etc/govma-console.toml)")},
            ),
            flag("--force", tr("replace a file that is there")),
        ),
        reports=False,
    ),
    Command(
        "doctor",
        tr("look at everything a server needs, and tell what is wrong and which command mends it"),
        "doctor",
        "doctor",
        (flag("--fix", tr("make the directories that are missing, and give those there are to their owners")),),
    ),
    Command(
        "completion",
        tr("print what makes a shell complete commands, versions and runs"),
        "completion",
        "completion",
        ((("shell",), {"choices": ("bash", "zsh", "fish"), "help": tr("the shell that is to complete")}),),
        reports=False,
    ),
    Command(
        "demo",
        tr("deploy a sample site in a folder of yours, without root and without Docker"),
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
