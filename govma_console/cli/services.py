"""Commands about the site's containers: services, services up, services log."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from govma_console.cli.command import DETACH, argument, command, flag, follow_or_detach, show_message
from govma_console.config_option import effective, reading_context
from govma_console.formats import ago_in_words
from govma_console.output import print_json, print_table, say, warn
from govma_core.errors import RefusedError, UsageError
from govma_core.text.clean import bytes_text
from govma_core.text.language import tr

if TYPE_CHECKING:
    from govma_core.services.view import ServiceState, View

_JSON_LOG_LINES = 5
"""Lines of each container's output that --json has."""


@command(
    "up",
    tr("rebuild images, and restart the containers that changed (downtime; undone if it fails)"),
    argument("names", nargs="*", metavar="SERVICE", help=tr("restart only these services")),
    flag("--sync", tr("first move prod-env forward to the live commit")),
    flag("--yes", tr("don't ask for confirmation by the project's name")),
    DETACH,
    examples=("govma-console services up", "govma-console services up apache --sync"),
)
def up(options: argparse.Namespace) -> int:
    """Start a restart of containers, once the operator has confirmed it."""
    from govma_core.services import compose, programs

    if not options.yes:
        if not sys.stdin.isatty():
            raise RefusedError(
                "This restarts containers, and the site may not answer meanwhile. Without a terminal, confirm with "
                "--yes."
            )
        project = compose.find_project(effective(options)).name
        _confirm(project, programs.next_exchange(project))
    arguments = {"services": options.names or None, "sync": options.sync}
    return follow_or_detach(options, "services", arguments, show_message)


def _confirm(project: str, exchange: str) -> None:
    """Have the operator type the project's name; RefusedError for anything else.

    `exchange` says that another compose will replace all containers, '' when it will not.
    """
    if exchange:
        warn(tr("Note: {exchange}.", exchange=exchange))
    warn(
        tr("This restarts the containers that changed; the site may not answer for a moment. The former ones come back")
    )
    warn(tr("if the new ones are not good. Type the project's name ({project}) to continue:", project=project))
    if sys.stdin.readline().strip() != project:
        raise RefusedError("That is not the project's name. Nothing was done.")


@command(
    "log",
    tr("print the last lines of a service's output"),
    argument("name", metavar="SERVICE"),
    argument("-f", "--follow", action="store_true", help=tr("keep following until Ctrl-C")),
    argument("-n", "--lines", type=int, default=50, metavar="N", help=tr("how many (default 50)")),
    json=False,
    examples=("govma-console services log apache -f",),
)
def log(options: argparse.Namespace) -> None:
    """Print the last lines of a service's output; with -f go on until the container ends or Ctrl-C."""
    from govma_core.services.logs import service_log

    if options.lines < 0:
        raise UsageError("--lines {lines}: name 0 or more.", lines=options.lines)
    with service_log(effective(options), options.name, options.lines, follow=options.follow) as batches:
        for batch in batches:
            say("\n".join(batch))


@command(
    "services",
    tr("show the site's containers, and where they differ from the compose file"),
    flag("--disk", tr("measure the persistent directories")),
    actions=(up, log),
)
def services(options: argparse.Namespace) -> None:
    """Print the containers, where they differ from the compose file, and what could not be examined."""
    from govma_core.services import drift, view

    context = reading_context(effective(options))
    site = view.view(context, lines=_JSON_LOG_LINES if options.json else 0, disk=options.disk)
    if options.json:
        print_json(site.plain())
        return
    if site.services:
        _print_containers(site.services, [_row(service, drift.state_text(service.state)) for service in site.services])
    for problem in site.problems:
        warn(tr("warning: {problem}", problem=problem))
    if site.project and site.services and not site.problems and not site.differences:
        say(drift.nothing_differs(site.project, every_setting=site.every_setting))
    if site.differences:
        say(tr("\nDifferences:"))
        for difference in site.differences:
            say(f"  {difference.sentence()}")
    _print_storage(site)


def _print_containers(containers: tuple[ServiceState, ...], rows: list[tuple[str, ...]]) -> None:
    header = (
        tr("SERVICE"),
        tr("STATE"),
        tr("HEALTH"),
        tr("SINCE"),
        tr("RESTARTS"),
        tr("IMAGE"),
        tr("MADE"),
        tr("PORTS"),
    )
    print_table(header, rows, cut=(5, 7), drop=(6, 4, 7, 5), right=(4,))
    for service in containers:
        if service.mounts:
            say(f"  {service.name}: {', '.join(service.mounts)}")


def _row(service: ServiceState, state: str) -> tuple[str, ...]:
    return (
        service.name,
        state,
        service.health or "-",
        ago_in_words(service.started) or "-",
        str(service.restarts),
        f"{service.image} {service.image_id}".strip(),
        ago_in_words(service.image_made) or "-",
        ", ".join(service.ports) or "-",
    )


def _print_storage(site: View) -> None:
    if any(store.size is not None for store in site.storage):
        say()
        rows = [
            (store.name, store.owner or tr("not there"), store.wanted, _size(store.size, is_whole=store.whole))
            for store in site.storage
        ]
        print_table((tr("STORAGE"), tr("OWNER"), tr("WANTED"), tr("SIZE")), rows, cut=(0,), right=(3,))
    problems = [store for store in site.storage if store.problem]
    if problems:
        say(tr("\nStorage:"))
    for store in problems:
        remedy = tr(" To fix: {store}", store=store.mend) if store.mend else ""
        say(f"  {store.problem}.{remedy}")


def _size(size: int | None, *, is_whole: bool) -> str:
    if size is None:
        return "-"
    return bytes_text(size) if is_whole else tr("more than ") + bytes_text(size)
