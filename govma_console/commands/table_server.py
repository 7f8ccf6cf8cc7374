"""The commands about what a site runs on: containers, the HTTP server, settings, the machine."""

from __future__ import annotations

from pathlib import Path

from govma_console.commands.arguments import DETACH, RUN
from govma_console.commands.command import Command, flag
from govma_core.language import tr

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
        "units",
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
        "completion",
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
