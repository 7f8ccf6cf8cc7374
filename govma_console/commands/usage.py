"""What versions take on the disk."""

from __future__ import annotations

import argparse
import dataclasses
import time

from govma_console.commands.settings import effective
from govma_console.output import print_json, print_table, say, warn
from govma_core.disk.usage import Usage
from govma_core.errors import ExitCode
from govma_core.operations.accounting import account
from govma_core.operations.context import Context
from govma_core.operations.space import need
from govma_core.reporting import Reporter
from govma_core.text import bytes_text


def usage(given: argparse.Namespace) -> int:
    """Measure the versions and print what each takes, shares and would free."""
    context = Context(effective(given), Reporter(lambda event: None), "", "", "cli", time.time())
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
    header = ("", "VERSION", "SIZE", "APPARENT", "EXCLUSIVE", "SHARED", "FILES")
    print_table(header, rows, cut=(1,), drop=(3, 6, 5, 4), right=(2, 3, 4, 5, 6))
    say()
    say(
        f"{len(found.versions)} versions take {bytes_text(found.real)}; "
        f"without hard links they would take {bytes_text(found.unlinked)}."
    )
    if found.others:
        say(f"What else lies in the versions directory takes {bytes_text(found.others)}.")
    say(f"{bytes_text(found.free)} of {bytes_text(found.capacity)} are free; the next deploy needs about "
        f"{bytes_text(wanted.size)}.")  # fmt: skip
    if found.unread:
        warn(f"{found.unread} directories may not be read by this user: it is more than that. Run as root.")
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
