"""The command demo: a sample site in a folder of the user's, deployed as a real one is."""

from __future__ import annotations

import argparse
import os
import shlex
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from govma_console.cli.command import argument, command, flag
from govma_console.cli.versions import print_versions
from govma_console.output import hint_file, warn
from govma_core.errors import BusyError, ExitCode, GovmaError, RefusedError
from govma_core.runs.lock import lock_holder
from govma_core.settings import load
from govma_core.text.language import tr

if TYPE_CHECKING:
    from govma_console.demo import SampleSite


@command(
    "demo",
    tr("deploy a sample site in a folder, without root and without Docker"),
    argument(
        "folder",
        nargs="?",
        type=Path,
        metavar="FOLDER",
        help=tr("default ~/govma-demo (/var/tmp/govma-demo where root's home is closed)"),
    ),
    flag("--remove", tr("remove the sample site")),
    json=False,
    examples=(
        "govma-console demo",
        "govma-console demo ~/somewhere",
        "govma-console demo ~/somewhere --remove",
    ),
)
def demo(options: argparse.Namespace) -> int:
    """Make the sample site, or open the one that is there, deploy it, and print its versions and what to try next."""
    from govma_console.cli.follow import follow_started, start_run

    folder: Path = (options.folder or _default_folder()).absolute()
    if options.remove:
        return _remove(folder)
    site = _create_or_open(folder)
    # Without the environment: a variable of the real site must not lead the demo to that one.
    settings = load({}, file=site.config_file).settings
    # What the run advises, such as ending a hold, must not lead to the real site either.
    hint_file(site.config_file)
    _, exit_code = follow_started(settings, start_run(settings, "deploy", {}, "demo"))
    if exit_code == ExitCode.OK:
        print()
        print_versions(settings)
        _print_next_steps(folder, site)
    return exit_code


def _default_folder() -> Path:
    """Return a folder that the build's user can reach, which is not so in many home directories, above all root's."""
    home = Path.home()
    is_closed = os.geteuid() == 0 and not home.stat().st_mode & stat.S_IXOTH
    return (Path("/var/tmp") if is_closed else home) / "govma-demo"  # noqa: S108 - a site there is checked to be ours


def _create_or_open(folder: Path) -> SampleSite:
    from govma_console.demo import create_sample, open_sample

    if folder.exists() and any(folder.iterdir()):
        try:
            site = open_sample(folder)
        except RefusedError as error:
            raise RefusedError("{error} Name another folder: govma-console demo FOLDER", error=error) from error
        print(tr("Deploying the sample site in {folder} once more.", folder=folder), file=sys.stderr)
        return site
    print(tr("Making a sample site in {folder}.", folder=folder), file=sys.stderr)
    try:
        return create_sample(folder)
    except PermissionError as error:
        raise RefusedError(
            "{folder} cannot be made: {strerror}. Name a folder that you can write in: govma-console demo FOLDER",
            folder=folder,
            strerror=error.strerror,
        ) from None


def _remove(folder: Path) -> int:
    """Remove the sample site, also an unfinished one; BusyError while a run works in it."""
    from govma_console.demo import SampleSite, remove_sample

    if (holder := lock_holder(SampleSite.at(folder).state_dir)) is not None:
        raise BusyError(holder.sentence())
    try:
        remove_sample(folder)
    except OSError as error:
        where = os.fsdecode(error.filename or "")
        raise GovmaError(
            "{folder} could not be removed whole: {strerror} ({where}).",
            folder=folder,
            strerror=error.strerror,
            where=where,
        ) from error
    print(tr("Removed {folder}.", folder=folder), file=sys.stderr)
    return ExitCode.OK


def _print_next_steps(folder: Path, site: SampleSite) -> None:
    # These commands name the file themselves.
    hint_file(None)
    program = Path(sys.argv[0]).absolute()
    typed = shlex.quote(str(program)) if program.name.startswith("govma") and program.exists() else "govma-console"
    warn(
        tr(
            "\nThe sample site is in {folder}. (portal/logo.svg was replaced by a person there, and is kept.) Try:",
            folder=folder,
        )
    )
    for words in ("", " status", " rollback", " pending", " log"):
        note = "" if words else tr("   (the console)")
        warn(
            tr(
                "  {shown} --config {config_file}{words}{said}",
                shown=typed,
                config_file=shlex.quote(str(site.config_file)),
                words=words,
                said=note,
            )
        )
    warn(tr("Remove it: {shown} demo --remove {folder}", shown=typed, folder=shlex.quote(str(folder))))
