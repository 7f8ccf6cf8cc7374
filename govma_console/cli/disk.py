"""Commands about what versions share and take on the disk: usage, dedupe, verify."""

from __future__ import annotations

import argparse
import dataclasses
from collections import Counter
from typing import TYPE_CHECKING

from govma_console.cli.command import (
    DETACH,
    OPTIONAL_VERSION,
    argument,
    command,
    flag,
    follow_or_detach,
    is_dry_run,
    show_message,
)
from govma_console.config_option import effective, narrating_context, reading_context
from govma_console.output import outlive_readers, print_json, print_table, say, warn
from govma_core.disk.usage import Usage, account
from govma_core.errors import ExitCode
from govma_core.text.clean import bytes_text
from govma_core.text.language import tr

if TYPE_CHECKING:
    from govma_core.disk.verify import Verified

_MOST_PATHS = 20
"""Changed files of a version that are listed without --all."""


@command(
    "usage",
    tr("show what each version takes on the disk, shares with others, and would free"),
    flag("--rescan", tr("measure every file again instead of using remembered sizes")),
)
def usage(options: argparse.Namespace) -> None:
    """Measure the versions, and print what each takes, shares and would free."""
    from govma_core.deploy.free_space import estimate

    context = reading_context(effective(options))
    current = context.versions.pointer().version
    sizes = account(context)
    next_deploy, _ = estimate(context)
    if options.json:
        print_json(_usage_as_json(sizes, current, next_deploy))
    else:
        _print_usage(sizes, current, next_deploy)


def _usage_as_json(sizes: Usage, current: str | None, next_deploy: int) -> dict[str, object]:
    return {
        "current": current,
        "versions": sizes.versions,
        "real": sizes.real,
        "others": sizes.others,
        "unlinked": sizes.unlinked,
        "free": sizes.free,
        "capacity": sizes.capacity,
        "next_deploy": next_deploy,
        "unread": sizes.unread,
        "measured": sizes.measured,
    }


def _print_usage(sizes: Usage, current: str | None, next_deploy: int) -> None:
    rows = [
        (
            "*" if version.name == current else "",
            version.name,
            *map(bytes_text, (version.size, version.apparent, version.exclusive, version.shared)),
            str(version.files),
        )
        for version in sizes.versions
    ]
    header = ("", tr("VERSION"), tr("SIZE"), tr("APPARENT"), tr("EXCLUSIVE"), tr("SHARED"), tr("FILES"))
    print_table(header, rows, cut=(1,), drop=(3, 6, 5, 4), right=(2, 3, 4, 5, 6))
    say()
    say(
        tr(
            "{count} versions take {real}; without hard links they would take {unlinked}.",
            count=len(sizes.versions),
            real=bytes_text(sizes.real),
            unlinked=bytes_text(sizes.unlinked),
        )
    )
    if sizes.others:
        say(tr("Other files in the versions directory take {others}.", others=bytes_text(sizes.others)))
    say(
        tr(
            "{free} of {capacity} are free; the next deploy needs about {size}.",
            free=bytes_text(sizes.free),
            capacity=bytes_text(sizes.capacity),
            size=bytes_text(next_deploy),
        )
    )
    if sizes.unread:
        warn(
            tr(
                "{unread} directories may not be read by this user: it is more than that. Run as root.",
                unread=sizes.unread,
            )
        )


@command(
    "dedupe",
    tr("store identical files of different versions only once"),
    flag("--anywhere", tr("also link files with different paths (never within the live version)")),
    argument(
        "--reflink",
        choices=("auto", "always", "never"),
        help=tr("share blocks instead of inodes (setting reflink)"),
    ),
    flag("--dry-run", tr("print what would be linked and freed, and change nothing")),
    DETACH,
    examples=("govma-console dedupe --dry-run",),
)
def dedupe(options: argparse.Namespace) -> int:
    """Start a dedupe; with --dry-run print what it would link and free."""
    if is_dry_run(options):
        return _print_dry_run(options)
    arguments = {"anywhere": options.anywhere, "reflink": options.reflink}
    return follow_or_detach(options, "dedupe", arguments, show_message)


def _print_dry_run(options: argparse.Namespace) -> int:
    from govma_core.disk.dedupe import dry_run

    result = dry_run(narrating_context(options), anywhere=options.anywhere)
    if options.json:
        print_json(result.details() | {"dry_run": True})
        return ExitCode.OK
    tally = result.tally
    say(
        tr(
            "{linked} of {seen} files would be linked, {freed} freed.",
            linked=tally.linked,
            seen=tally.files,
            freed=bytes_text(tally.freed),
        )
    )
    for reason, files in tally.left_alone.items():
        warn(
            tr(
                "Left alone, {reason}: {count}, such as {names}",
                reason=tr(reason),
                count=files.count,
                names=", ".join(files.names[:3]),
            )
        )
    return ExitCode.OK


@command(
    "verify",
    tr("list the files of a version (without VERSION: of all) that changed since it was published"),
    OPTIONAL_VERSION,
    flag("--all", tr("list every file, including those that the CMS is known to write")),
    examples=("govma-console verify 2026-11-24-08h30", "govma-console verify --all"),
)
def verify(options: argparse.Namespace) -> int:
    """Compare versions with what was published; exit with 1 when a file differs that should not."""
    from govma_core.disk.verify import verify as compare

    outlive_readers()
    results = []
    for result in compare(narrating_context(options), version=options.version_name):
        results.append(result)
        if not options.json:
            _print_verified(result, all_files=options.all)
    is_sound = all(result.sound for result in results)
    if options.json:
        print_json({"sound": is_sound, "versions": [_verified_as_json(result) for result in results]})
    return ExitCode.OK if is_sound else ExitCode.FAILED


def _verified_as_json(result: Verified) -> dict[str, object]:
    return dataclasses.asdict(result) | {"sound": result.sound if result.changes is not None else None}


def _print_verified(result: Verified, *, all_files: bool) -> None:
    if result.changes is None or result.written is None:
        say(tr("{name}: no record of what was published; nothing to compare with.", name=result.name))
    else:
        counts = Counter(change.kind for change in result.changes)
        summary = ", ".join(f"{tr(kind)}: {count}" for kind, count in counts.items()) or tr("as published")
        by_cms = tr("; {count} written by the CMS (keep_single)", count=len(result.written)) if result.written else ""
        say(f"{result.name}: {summary}{by_cms}")
        for change in result.changes + result.written if all_files else result.changes[:_MOST_PATHS]:
            say(f"  {tr(change.kind):14} {change.path}")
        if not all_files and len(result.changes) > _MOST_PATHS:
            say(tr("  … and {count} more (--all lists them)", count=len(result.changes) - _MOST_PATHS))
    if result.shared:
        say(
            tr(
                "  {count} files that are written in place share their inode with another version:",
                count=len(result.shared),
            )
        )
        for path in result.shared if all_files else result.shared[:_MOST_PATHS]:
            say(f"  {tr('shared'):14} {path}")
        say(tr("  `govma-console promote {name}` gives them inodes of their own.", name=result.name))
