"""Arguments that several commands take."""

from __future__ import annotations

from govma_console.commands.command import Argument, flag
from govma_core.language import tr

REF: Argument = ("--ref",), {"metavar": "REF", "help": tr("branch, tag or commit instead of the configured branch")}
NO_REHEARSAL = flag("--no-rehearsal", tr("don't test the version before the switch (this is recorded)"))
DETACH = flag("--detach", tr("start the run, print its id, and return at once"))
RUN: Argument = (
    ("run",),
    {"nargs": "?", "metavar": "RUN", "help": tr("id of a run, or any unambiguous beginning or end of it")},
)
VERSION = tr("a version: its name or any unambiguous prefix, with or without data-build--")
