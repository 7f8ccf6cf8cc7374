"""Commands about the containers beside the code: services, services up, services log."""

from __future__ import annotations

import argparse
import sys

from govma_console.config_option import effective
from govma_console.formats import ago_in_words
from govma_console.output import print_json, print_table, say, warn
from govma_core.context import Context
from govma_core.errors import ExitCode, RefusedError, UsageError
from govma_core.services.compose import find_project
from govma_core.services.drift import nothing_differs, state_text
from govma_core.services.view import ServiceState, View
from govma_core.text.clean import bytes_text
from govma_core.text.language import tr

_LINES = 5


def services(given: argparse.Namespace) -> int:
    """Print the containers, and where they differ from what is wanted; what cannot be looked at is said."""
    from govma_core.services.view import view

    found = view(Context.for_reading(effective(given)), lines=_LINES if given.json else 0, disk=given.disk)
    if given.json:
        print_json(found.plain())
        return ExitCode.OK
    _print(found)
    return ExitCode.OK


def up(given: argparse.Namespace) -> int:
    """Start a restart of containers, once somebody said that it is meant."""
    from govma_console.cli.deploy import follow_or_detach, show_message

    settings = effective(given)
    if not given.yes:
        _ask(find_project(settings).name)
    return follow_or_detach(given, "services", {"services": given.names or None, "sync": given.sync}, show_message)


def log(given: argparse.Namespace) -> int:
    """Print the last lines of a service's output; with -f go on until the container or somebody ends it."""
    from govma_core.services.logs import service_log

    if given.lines < 0:
        raise UsageError(tr("--lines {lines}: name 0 or more.", lines=given.lines))
    with service_log(effective(given), given.name, given.lines, follow=given.follow) as batches:
        for batch in batches:
            say("\n".join(batch))
    return ExitCode.OK


def _ask(project: str) -> None:
    if not sys.stdin.isatty():
        raise RefusedError(
            tr(
                "This restarts containers, and the site does not answer meanwhile. Without a terminal, confirm "
                "with --yes."
            )
        )
    warn(
        tr(
            "This restarts the containers that changed; the site does not answer for a moment. The "
            "former ones come back"
        )
    )
    warn(tr("if the new ones are not good. Type the project's name ({project}) to continue:", project=project))
    if sys.stdin.readline().strip() != project:
        raise RefusedError(tr("That is not the project's name. Nothing was done."))


def _print(found: View) -> None:
    if found.services:
        rows = [_row(service) for service in found.services]
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
        for service in found.services:
            if service.mounts:
                say(f"  {service.name}: {', '.join(service.mounts)}")
    for problem in found.problems:
        warn(tr("warning: {problem}", problem=problem))
    if found.project and found.services and not found.problems and not found.differences:
        say(nothing_differs(found.project, every_setting=found.every_setting))
    if found.differences:
        say(tr("\nDifferences:"))
        for difference in found.differences:
            say(f"  {difference.sentence()}")
    _print_storage(found)


def _row(service: ServiceState) -> tuple[str, ...]:
    return (
        service.name,
        state_text(service.state),
        service.health or "-",
        ago_in_words(service.started) or "-",
        str(service.restarts),
        f"{service.image} {service.image_id}".strip(),
        ago_in_words(service.image_made) or "-",
        ", ".join(service.ports) or "-",
    )


def _print_storage(found: View) -> None:
    wrong = [store for store in found.storage if store.problem]
    if any(store.size is not None for store in found.storage):
        say()
        rows = [
            (store.name, store.owner or tr("not there"), store.wanted, _size(store.size, whole=store.whole))
            for store in found.storage
        ]
        print_table((tr("STORAGE"), tr("OWNER"), tr("WANTED"), tr("SIZE")), rows, cut=(0,), right=(3,))
    if wrong:
        say(tr("\nStorage:"))
    for store in wrong:
        mend = tr(" To fix: {store}", store=store.mend) if store.mend else ""
        say(f"  {store.problem}.{mend}")


def _size(size: int | None, *, whole: bool) -> str:
    if size is None:
        return "-"
    return bytes_text(size) if whole else tr("more than ") + bytes_text(size)
