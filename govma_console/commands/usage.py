"""What versions take on the disk."""

from __future__ import annotations

import argparse
import dataclasses

from govma_console.commands.settings import effective
from govma_console.output import print_json, print_table, say, warn
from govma_core.disk.usage.measure import Usage
from govma_core.errors import ExitCode
from govma_core.language import tr
from govma_core.operations.accounting import account
from govma_core.operations.context import Context
from govma_core.operations.space import need
from govma_core.text import bytes_text


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
