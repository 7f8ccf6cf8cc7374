"""The list of versions."""

from __future__ import annotations

import argparse

from govma_console import reports
from govma_console.config_option import effective
from govma_console.formats import ago_in_words, local_time
from govma_console.output import print_json, print_table, say, warn
from govma_console.reports import listed, versions
from govma_core.errors import ExitCode
from govma_core.fs.permissions import cannot_know
from govma_core.settings import Settings
from govma_core.text.language import counted, tr
from govma_core.versions.store import VersionStore


def list_versions(given: argparse.Namespace) -> int:
    """Print the versions, the newest first; the current one is marked."""
    settings = effective(given)
    if not given.json:
        print_versions(settings)
        return ExitCode.OK
    print_json(versions(settings))
    return ExitCode.OK


def print_versions(settings: Settings) -> None:
    """Print the table of versions; what an operator should look at goes to standard error."""
    store = VersionStore(settings.versions_dir)
    pointer = store.pointer()
    shown = listed(settings, store, pointer.version)
    header = (
        "",
        tr("VERSION"),
        tr("SIZE"),
        tr("EXCLUSIVE"),
        tr("COMMIT"),
        tr("SUBJECT"),
        tr("AUTHOR"),
        tr("DEPLOYED BY"),
        tr("STATE"),
    )
    rows = [found.cells() for found in shown]
    print_table(header, rows, cut=(5, 6), drop=(7, 6, 4), right=(2, 3))
    if pointer.problem:
        warn(tr("warning: {problem}", problem=pointer.problem))
    others = store.other_names()
    if others:
        warn(tr("Left alone in {versions_dir}: {others}", versions_dir=settings.versions_dir, others=", ".join(others)))
    unknown = sum(found.usage is None for found in shown)
    if unread := cannot_know(settings.state_dir):
        warn(tr("warning: {problem}", problem=unread))
    elif unknown:
        warn(
            tr(
                "The sizes of {versions} are not known yet: `govma-console usage` measures them.",
                versions=counted(unknown, "version", "versions"),
            )
        )


def status(given: argparse.Namespace) -> int:
    """Print a few lines, or the same as JSON."""
    found = reports.status(effective(given))
    if given.json:
        print_json(found.plain())
        return ExitCode.OK
    pointer, made, since, last = found.pointer, found.manifest, found.since, found.last
    say(tr("current-version  {version}", version=pointer.version or tr("none")))
    if pointer.problem:
        say(tr("  problem        {problem}", problem=pointer.problem))
    if made:
        say(
            tr(
                "  commit         {commit}  {subject}  ({author})",
                commit=made.commit[:9],
                subject=made.subject,
                author=made.author,
            )
        )
    if since:
        say(
            tr(
                "  live since     {local_time} ({at}), {how} by {by}",
                local_time=local_time(since.at),
                at=ago_in_words(since.at),
                how=tr(since.how),
                by=since.by,
            )
        )
    elif pointer.version and not found.unread:
        say(tr("  live since     not recorded: the link was set by hand or by deploy.sh"))
    if found.mark:
        say(tr("  mark           {sentence}", sentence=found.mark.sentence()))
    for hold in found.holds.all:
        say(tr("held             {sentence}", sentence=hold.sentence()))
    if found.unread:
        say(tr("runs             not known: {unread}", unread=found.unread))
        return ExitCode.OK
    say(tr("running          {sentence}", sentence=found.holder.sentence() if found.holder else tr("nothing")))
    for waiting in found.waiting:
        say(
            tr(
                "waiting          {operation} {id}, asked for by {by}",
                operation=waiting.operation,
                id=waiting.id,
                by=waiting.by,
            )
        )
    if last and last.ended:
        say(
            tr(
                "last run         {id}  {operation}: {state}, {finished}",
                id=last.id,
                operation=last.operation,
                state=tr(last.state),
                finished=ago_in_words(last.finished or last.created),
            )
        )
        first, *_ = last.message.split("\n")
        say(f"  {first}")
    return ExitCode.OK
