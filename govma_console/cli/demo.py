"""A sample site, deployed by the same pipeline, in a folder of the user's."""

from __future__ import annotations

import argparse
import os
import shlex
import stat
import sys
from pathlib import Path

from govma_console.cli.follow import follow_started
from govma_console.cli.versions import print_versions
from govma_console.demo import SampleSite, create_sample, open_sample, remove_sample
from govma_console.output import warn
from govma_core.errors import BusyError, ExitCode, GovmaError, RefusedError
from govma_core.runs.launch import local_requester, start
from govma_core.runs.lock import lock_holder
from govma_core.settings import load
from govma_core.text.language import tr


def demo(given: argparse.Namespace) -> int:
    """Make (or take up) the sample site, deploy it, show its versions, and say where it is and how to remove it."""
    folder: Path = (given.folder or _default_folder()).absolute()
    if given.remove:
        return _remove(folder)
    site = _site(folder)
    # The sample's own file only: a variable of the real site in the environment must not lead the demo there.
    settings = load({}, file=site.config_file).settings
    requester = local_requester("demo")
    _, code = follow_started(settings, start(settings, "deploy", {}, requester))
    if code == ExitCode.OK:
        print()
        print_versions(settings)
        _say_what_next(folder, site)
    return code


def _default_folder() -> Path:
    """Return a folder that the build's user can reach: a home directory, root's above all, often is closed."""
    home = Path.home()
    closed = os.geteuid() == 0 and not home.stat().st_mode & stat.S_IXOTH
    return (Path("/var/tmp") if closed else home) / "govma-demo"  # noqa: S108 - a name in there that is ours is checked


def _site(folder: Path) -> SampleSite:
    if folder.exists() and any(folder.iterdir()):
        try:
            site = open_sample(folder)
        except RefusedError as error:
            raise RefusedError(tr("{error} Name another folder: govma-console demo FOLDER", error=error)) from error
        print(tr("Deploying the sample site in {folder} once more.", folder=folder), file=sys.stderr)
        return site
    print(tr("Making a sample site in {folder}.", folder=folder), file=sys.stderr)
    try:
        return create_sample(folder)
    except PermissionError as error:
        raise RefusedError(
            tr(
                "{folder} cannot be made: {strerror}. Name a folder that you can write in: govma-console demo FOLDER",
                folder=folder,
                strerror=error.strerror,
            )
        ) from None


def _remove(folder: Path) -> int:
    # Also of one that is not whole; whether it is one is looked at before anything is removed.
    if (holder := lock_holder(SampleSite.at(folder).state_dir)) is not None:
        raise BusyError(holder.sentence())
    try:
        remove_sample(folder)
    except OSError as error:
        where = os.fsdecode(error.filename or "")
        raise GovmaError(
            tr(
                "{folder} could not be removed whole: {strerror} ({where}).",
                folder=folder,
                strerror=error.strerror,
                where=where,
            )
        ) from error
    print(tr("Removed {folder}.", folder=folder), file=sys.stderr)
    return ExitCode.OK


def _say_what_next(folder: Path, site: SampleSite) -> None:
    command = Path(sys.argv[0]).absolute()
    shown = shlex.quote(str(command)) if command.name.startswith("govma") and command.exists() else "govma-console"
    warn(
        tr(
            "\nThe sample site is in {folder}. (portal/logo.svg was replaced by a person there, and is kept.) Try:",
            folder=folder,
        )
    )
    for words in ("", " status", " rollback", " pending", " log"):
        said = "" if words else tr("   (the console)")
        warn(
            tr(
                "  {shown} --config {config_file}{words}{said}",
                shown=shown,
                config_file=shlex.quote(str(site.config_file)),
                words=words,
                said=said,
            )
        )
    warn(tr("Remove it: {shown} demo --remove {folder}", shown=shown, folder=shlex.quote(str(folder))))


def console(given: argparse.Namespace) -> int:
    """Run the app until somebody leaves it. It reads keys from standard input and draws on standard error."""
    if not (sys.stdin is not None and sys.stdin.isatty() and os.isatty(2)):
        warn(tr("govma-console: There is no terminal to draw on. Name a command; `govma-console --help` lists them."))
        return ExitCode.USAGE
    if os.environ.get("TERM", "") in ("", "dumb"):
        warn(
            tr(
                "govma-console: This terminal (TERM) cannot be drawn on. Name a command; "
                "`govma-console --help` lists them."
            )
        )
        return ExitCode.USAGE
    from govma_console.tui.start import run

    return run(given)
