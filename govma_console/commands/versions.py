"""The list of versions."""

from __future__ import annotations

import argparse

from govma_console.commands.settings import effective
from govma_console.output import print_json, print_table, warn
from govma_console.reports import listed, versions
from govma_core.errors import ExitCode
from govma_core.language import counted, tr
from govma_core.settings import Settings
from govma_core.versions.store import VersionStore
from govma_core.writable import cannot_know


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
