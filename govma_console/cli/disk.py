"""Commands about what versions share: dedupe, verify."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections import Counter

from govma_console.config_option import effective
from govma_console.output import print_json, print_table, say, warn
from govma_core.context import Context
from govma_core.deploy.free_space import need
from govma_core.disk.compare import Tally
from govma_core.disk.usage import Usage, account
from govma_core.disk.verify import Verified
from govma_core.errors import ExitCode, UsageError
from govma_core.text.clean import bytes_text
from govma_core.text.language import tr

_SHOWN = 20


def dedupe(given: argparse.Namespace) -> int:
    """Start a dedupe; with --dry-run print what it would come to."""
    if given.dry_run:
        if given.detach:
            raise UsageError(tr("--dry-run starts no run that could be left behind: leave --detach out."))
        return _dry_run(given)
    from govma_console.cli.deploy import follow_or_detach, show_message

    return follow_or_detach(given, "dedupe", {"anywhere": given.anywhere, "reflink": given.reflink}, show_message)


def verify(given: argparse.Namespace) -> int:
    """Compare versions with what was published; exit 1 when something is different that should not be."""
    from govma_core.disk.verify import verify as operation

    sound = True
    shown = []
    for found in operation(_context(given), version=given.wanted):
        sound = sound and found.sound
        if given.json:
            judged = found.sound if found.changes is not None else None
            shown.append(dataclasses.asdict(found) | {"sound": judged})
        else:
            _say_verified(found, whole=given.all)
    if given.json:
        print_json({"sound": sound, "versions": shown})
    return ExitCode.OK if sound else ExitCode.FAILED


def _dry_run(given: argparse.Namespace) -> int:
    from govma_core.disk.dedupe import dry_run

    found = dry_run(_context(given), anywhere=given.anywhere)
    if given.json:
        print_json(found.details() | {"dry_run": True})
        return ExitCode.OK
    tally = found.tally
    say(
        tr(
            "{linked} of {seen} files would be linked, {freed} freed.",
            linked=tally.linked,
            seen=tally.seen,
            freed=bytes_text(tally.freed),
        )
    )
    _warn_left(tally)
    return ExitCode.OK


def _warn_left(tally: Tally) -> None:
    for reason, left in tally.left.items():
        warn(
            tr(
                "Left alone, {reason}: {count}, such as {names}",
                reason=tr(reason),
                count=left.count,
                names=", ".join(left.names[:3]),
            )
        )


def _say_verified(found: Verified, *, whole: bool) -> None:
    if found.changes is None or found.written is None:
        say(tr("{name}: no record of what was published; nothing to compare with.", name=found.name))
    else:
        counts = Counter(change.kind for change in found.changes)
        told = ", ".join(f"{tr(kind)}: {count}" for kind, count in counts.items()) or tr("as published")
        by_cms = tr("; {count} written by the CMS (keep_single)", count=len(found.written)) if found.written else ""
        say(f"{found.name}: {told}{by_cms}")
        listed = found.changes + found.written if whole else found.changes[:_SHOWN]
        for change in listed:
            say(f"  {tr(change.kind):14} {change.path}")
        if not whole and len(found.changes) > _SHOWN:
            say(tr("  … and {count} more (--all lists them)", count=len(found.changes) - _SHOWN))
    if found.shared:
        say(
            tr(
                "  {count} files that are written in place share their inode with another version:",
                count=len(found.shared),
            )
        )
        for path in found.shared if whole else found.shared[:_SHOWN]:
            say(f"  {tr('shared'):14} {path}")
        say(tr("  `govma-console promote {name}` gives them inodes of their own.", name=found.name))


def _context(given: argparse.Namespace) -> Context:
    from govma_console.narration import Narrator
    from govma_core.reporting import Reporter

    return Context.for_reading(effective(given), Reporter(Narrator(sys.stderr).tell))


def usage(given: argparse.Namespace) -> int:
    """Measure the versions and print what each takes, shares and would free."""
    context = Context.for_reading(effective(given))
    current = context.versions.pointer().version
    found = account(context, rescan=given.rescan)
    wanted = need(context)
    if given.json:
        print_json(_as_json(found, current, wanted.size))
        return ExitCode.OK
    rows = [
        (
            "*" if version.name == current else "",
            version.name,
            *map(bytes_text, (version.size, version.apparent, version.exclusive, version.shared)),
            str(version.files),
        )
        for version in found.versions
    ]
    header = ("", tr("VERSION"), tr("SIZE"), tr("APPARENT"), tr("EXCLUSIVE"), tr("SHARED"), tr("FILES"))
    print_table(header, rows, cut=(1,), drop=(3, 6, 5, 4), right=(2, 3, 4, 5, 6))
    say()
    say(
        tr(
            "{count} versions take {real}; without hard links they would take {unlinked}.",
            count=len(found.versions),
            real=bytes_text(found.real),
            unlinked=bytes_text(found.unlinked),
        )
    )
    if found.others:
        say(tr("Other files in the versions directory take {others}.", others=bytes_text(found.others)))
    say(
        tr(
            "{free} of {capacity} are free; the next deploy needs about {size}.",
            free=bytes_text(found.free),
            capacity=bytes_text(found.capacity),
            size=bytes_text(wanted.size),
        )
    )
    if found.unread:
        warn(
            tr(
                "{unread} directories may not be read by this user: it is more than that. Run as root.",
                unread=found.unread,
            )
        )
    return ExitCode.OK


def _as_json(found: Usage, current: str | None, wanted: int) -> dict[str, object]:
    return {
        "current": current,
        "versions": [dataclasses.asdict(version) for version in found.versions],
        "real": found.real,
        "others": found.others,
        "unlinked": found.unlinked,
        "free": found.free,
        "capacity": found.capacity,
        "next_deploy": wanted,
        "unread": found.unread,
        "measured": found.measured,
    }
