"""Commands about what is there: list, status."""

from __future__ import annotations

import argparse

from govma_console import reports
from govma_console.cli.command import command
from govma_console.config_option import effective
from govma_console.formats import ago_in_words, local_time
from govma_console.output import print_json, print_table, say, warn
from govma_core.fs.permissions import cannot_know
from govma_core.runs.store import RunRecord
from govma_core.settings import Settings
from govma_core.text.language import counted, tr
from govma_core.versions.manifest import Manifest
from govma_core.versions.store import VersionStore


@command("list", tr("list the versions"))
def list_versions(options: argparse.Namespace) -> None:
    """Print the versions, the newest first; the current one is marked."""
    settings = effective(options)
    print_json(reports.versions(settings)) if options.json else print_versions(settings)


def print_versions(settings: Settings) -> None:
    """Print the table of versions; what needs the operator's attention goes to standard error."""
    store = VersionStore(settings.versions_dir)
    pointer = store.pointer()
    versions = reports.version_rows(settings, store, pointer.version)
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
    print_table(header, [version.cells() for version in versions], cut=(5, 6), drop=(7, 6, 4), right=(2, 3))
    if pointer.problem:
        warn(tr("warning: {problem}", problem=pointer.problem))
    others = store.other_names()
    if others:
        warn(tr("Left alone in {versions_dir}: {others}", versions_dir=settings.versions_dir, others=", ".join(others)))
    unmeasured = sum(version.usage is None for version in versions)
    if unread := cannot_know(settings.state_dir):
        warn(tr("warning: {problem}", problem=unread))
    elif unmeasured:
        warn(
            tr(
                "The sizes of {versions} are not known yet: `govma-console usage` measures them.",
                versions=counted(unmeasured, "version", "versions"),
            )
        )


@command("status", tr("show what is live, what is running, and the result of the last run"))
def status(options: argparse.Namespace) -> None:
    """Print what is live and since when, what holds deploys, and the runs: in a few lines, or as JSON."""
    site = reports.status(effective(options))
    if options.json:
        print_json(site.plain())
        return
    _print_live(site)
    for hold in site.holds.all:
        say(tr("held             {sentence}", sentence=hold.sentence()))
    if site.unread:
        say(tr("runs             not known: {unread}", unread=site.unread))
    else:
        _print_runs(site)


def _print_live(site: reports.SiteStatus) -> None:
    pointer = site.pointer
    say(tr("current-version  {version}", version=pointer.version or pointer.problem or tr("none")))
    if pointer.problem and pointer.version:
        say(tr("  problem        {problem}", problem=pointer.problem))
    if site.manifest:
        _print_commit(site.manifest)
    if site.since:
        say(
            tr(
                "  live since     {local_time} ({at}), {how} by {by}",
                local_time=local_time(site.since.at),
                at=ago_in_words(site.since.at),
                how=tr(site.since.how),
                by=site.since.by,
            )
        )
    elif pointer.version and not site.unread:
        say(tr("  live since     not recorded: the link was set by hand or by deploy.sh"))
    if site.mark:
        say(tr("  mark           {sentence}", sentence=site.mark.sentence()))


def _print_commit(manifest: Manifest) -> None:
    say(
        tr(
            "  commit         {commit}  {subject}  ({author})",
            commit=manifest.commit[:9],
            subject=manifest.subject,
            author=manifest.author,
        )
    )


def _print_runs(site: reports.SiteStatus) -> None:
    say(tr("running          {sentence}", sentence=site.holder.sentence() if site.holder else tr("nothing")))
    for run in site.waiting:
        say(
            tr(
                "waiting          {operation} {id}, asked for by {by}",
                operation=run.operation,
                id=run.id,
                by=run.by,
            )
        )
    if site.last and site.last.ended:
        _print_last_run(site.last)


def _print_last_run(run: RunRecord) -> None:
    say(
        tr(
            "last run         {id}  {operation}: {state}, {finished}",
            id=run.id,
            operation=run.operation,
            state=tr(run.state),
            finished=ago_in_words(run.finished or run.created),
        )
    )
    first_line, *_ = run.message.split("\n")
    say(f"  {first_line}")
