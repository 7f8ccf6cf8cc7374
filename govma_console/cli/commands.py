"""The table of commands: name, what it does, arguments, and where its code is."""

from __future__ import annotations

from pathlib import Path

from govma_console.cli.command import DETACH, NO_REHEARSAL, REF, RUN, VERSION, Command, flag
from govma_core.text.language import tr

SERVER: tuple[Command, ...] = (
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
                    DETACH,
                ),
                examples=(
                    "govma-console services up",
                    "govma-console services up apache --sync",
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
                examples=("govma-console services log apache -f",),
            ),
        ),
    ),
    Command("attach", tr("follow the current run, and exit with its exit code"), "runs", "attach", (RUN,)),
    Command("cancel", tr("ask the current run to stop"), "runs", "cancel", (RUN,)),
    Command(
        "trigger",
        tr("have the HTTP server deploy, show the log, and exit with the run's exit code; Ctrl-C only stops following"),
        "server",
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
        examples=(
            "govma-console trigger",
            "govma-console trigger http://127.0.0.1:50024",
        ),
    ),
    Command(
        "token",
        tr("make a token for the HTTP server, and print it once"),
        "server",
        "token",
        ((("name",), {"metavar": "NAME", "help": tr("who the token is for; runs are recorded under this name")}),),
        reports=False,
        examples=("govma-console token ci > ci.token",),
    ),
    Command(
        "units",
        tr("print the systemd units of the HTTP server"),
        "server",
        "units",
        (
            flag("--install", tr("write them to /etc/systemd/system")),
            flag("--socket", tr("with a socket unit, so that no caller is lost during a restart")),
        ),
        reports=False,
        examples=(
            "govma-console units",
            "govma-console units --socket --install",
        ),
    ),
    Command("config", tr("print the effective settings and where each comes from"), "settings", "config"),
    Command(
        "init",
        tr("write a commented settings file"),
        "settings",
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
        examples=(
            "govma-console init --from /home/app/run-deploy.sh",
            "govma-console init -o ./site.toml",
        ),
    ),
    Command(
        "doctor",
        tr("check everything a server needs, and say what is wrong and which command fixes it"),
        "doctor",
        "doctor",
        (flag("--fix", tr("create missing directories, and set owners")),),
        examples=(
            "govma-console doctor",
            "govma-console doctor --fix",
        ),
    ),
    Command(
        "completion",
        tr("print a completion script for commands, versions and runs"),
        "command",
        "completion",
        ((("shell",), {"choices": ("bash", "zsh", "fish"), "help": tr("the shell it is for")}),),
        reports=False,
        examples=(
            'eval "$(govma-console completion bash)"',
            "govma-console completion fish | source",
        ),
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
        examples=(
            "govma-console demo",
            "govma-console demo ~/somewhere",
            "govma-console demo ~/somewhere --remove",
        ),
    ),
)


SITE: tuple[Command, ...] = (
    Command(
        "deploy",
        tr("build the remote's branch as a new version and make it live"),
        "deploy",
        "deploy",
        (
            REF,
            flag("--rebuild", tr("build the assets even if a cached build could be used")),
            flag("--no-promote", tr("publish the version, but don't make it live")),
            NO_REHEARSAL,
            flag("--force", tr("deploy even while deploys, or those of this commit, are held (this is recorded)")),
            DETACH,
        ),
        examples=(
            "govma-console deploy",
            "govma-console deploy --ref v2.4 --no-promote",
            "govma-console deploy --detach",
        ),
    ),
    Command(
        "promote",
        tr("make a version live, or prove the live one once more"),
        "deploy",
        "promote",
        ((("wanted",), {"metavar": "VERSION", "help": VERSION}), NO_REHEARSAL, DETACH),
        examples=("govma-console promote 2026-11-24-08h30",),
    ),
    Command(
        "rollback",
        tr("go back to the version that was live before, or to a named one"),
        "deploy",
        "rollback",
        (
            (("wanted",), {"metavar": "VERSION", "nargs": "?", "help": VERSION}),
            flag("--keep-mark", tr("don't mark the current version as bad, and don't hold deploys of its commit")),
            DETACH,
        ),
        examples=(
            "govma-console rollback",
            "govma-console rollback 2026-11-20",
        ),
    ),
    Command(
        "check",
        tr("test a version as a deploy would, without making it live"),
        "deploy",
        "check",
        ((("wanted",), {"metavar": "VERSION", "help": VERSION}), DETACH),
        examples=("govma-console check 2026-11-24-08h30",),
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
        examples=(
            'govma-console hold "election night" --until 18:30',
            "govma-console hold --until 2h",
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
        examples=(
            "govma-console release",
            "govma-console release 3f2a91c",
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
        "disk",
        "usage",
        (flag("--rescan", tr("measure every file again instead of using remembered sizes")),),
    ),
    Command("status", tr("show what is live, what is running, and the result of the last run"), "versions", "status"),
    Command(
        "pending",
        tr("list the commits between what is live and what would be deployed"),
        "deploy",
        "show_pending",
        (REF, flag("--no-fetch", tr("don't fetch; compare with what was fetched last"))),
        examples=(
            "govma-console pending",
            "govma-console pending --ref v2.4",
        ),
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
        (RUN, (("-f", "--follow"), {"action": "store_true", "help": tr("keep following until the run ends")})),
        examples=(
            "govma-console log",
            "govma-console log -f",
        ),
    ),
    Command(
        "prune",
        tr("remove old versions that there is no reason to keep"),
        "prune",
        "prune",
        (
            (("--keep",), {"type": int, "metavar": "N", "help": tr("good versions to keep (setting keep_versions)")}),
            (
                ("--older-than",),
                {"metavar": "AGE", "help": tr("keep what is younger, such as 30d or 12h (setting keep_younger)")},
            ),
            flag("--dry-run", tr("print what would be removed and why, and remove nothing")),
            DETACH,
        ),
        examples=(
            "govma-console prune --dry-run",
            "govma-console prune --keep 3 --older-than 30d",
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
            DETACH,
        ),
        examples=("govma-console dedupe --dry-run",),
    ),
    Command(
        "verify",
        tr("list the files of a version (without VERSION: of all) that changed since it was published"),
        "disk",
        "verify",
        (
            (("wanted",), {"nargs": "?", "metavar": "VERSION", "help": VERSION}),
            flag("--all", tr("list every file, including those that the CMS is known to write")),
        ),
        examples=(
            "govma-console verify 2026-11-24-08h30",
            "govma-console verify --all",
        ),
    ),
    Command(
        "pin",
        tr("keep prune from removing a version"),
        "prune",
        "pin",
        (
            (("wanted",), {"metavar": "VERSION", "help": VERSION}),
            (("--reason",), {"metavar": "TEXT", "help": tr("reason, shown in the list of versions")}),
        ),
        examples=('govma-console pin 2026-11-24-08h30 --reason "before the redesign"',),
    ),
    Command(
        "unpin",
        tr("let prune remove a version again"),
        "prune",
        "unpin",
        ((("wanted",), {"metavar": "VERSION", "help": VERSION}),),
    ),
)


COMMANDS: tuple[Command, ...] = (*SITE, *SERVER)
