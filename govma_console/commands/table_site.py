"""The commands about versions, holds, disk and runs."""

from __future__ import annotations

from govma_console.commands.arguments import DETACH, NO_REHEARSAL, REF, RUN, VERSION
from govma_console.commands.command import Command, flag
from govma_core.language import tr

SITE: tuple[Command, ...] = (
    Command(
        "deploy",
        tr("build the remote's branch as a new version and make it live"),
        "operate",
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
        "operate",
        "promote",
        ((("wanted",), {"metavar": "VERSION", "help": VERSION}), NO_REHEARSAL, DETACH),
        examples=("govma-console promote 2026-11-24-08h30",),
    ),
    Command(
        "rollback",
        tr("go back to the version that was live before, or to a named one"),
        "operate",
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
        "operate",
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
        "retention",
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
        "retention",
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
        "retention",
        "unpin",
        ((("wanted",), {"metavar": "VERSION", "help": VERSION}),),
    ),
)
