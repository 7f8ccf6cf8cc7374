"""Compose as a program: which of those on this machine start, and which one is used.

Version 1 and version 2 name images in different ways and compute different hashes, so that each replaces what the other
made. The one that made the containers goes before others.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from govma_core.engine.client import connected, told_as
from govma_core.engine.containers import ONE_OFF, PROJECT, VERSION
from govma_core.engine.program import environment as program_environment
from govma_core.errors import GovmaError, PreflightError
from govma_core.text.clean import clean_line
from govma_core.text.language import tr

_PLUGIN_DIRS = (
    "/usr/local/lib/docker/cli-plugins", "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins", "/usr/libexec/docker/cli-plugins",
)  # fmt: skip
_START_SECONDS = 20
_ENGINE_SECONDS = 5
_KEPT_SECONDS = 60
"""How long one that does not start is not started again: a view asks several times."""


@dataclass(frozen=True, slots=True)
class Program:
    """One compose on this machine: its version (`2.26.1`), '' when it does not start, and what it said then."""

    path: str
    version: str
    problem: str = ""


def installed() -> tuple[str, ...]:
    """Return where compose is: the plugins of `docker`, which run without it as well, then what is in PATH."""
    home = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    paths: dict[str, str] = {}
    for place in (str(home / "cli-plugins"), *_PLUGIN_DIRS, *os.get_exec_path()):
        path = os.path.join(place, "docker-compose")
        if os.path.isfile(path) and os.access(path, os.X_OK):
            paths.setdefault(os.path.realpath(path), path)
    return tuple(paths.values())


def program(project: str) -> str:
    """Return the path of the compose that is used for a project; PreflightError without one.

    The one that made the project's containers, else one of their first number, else version 2, else version 1. One
    that does not start is passed over.
    """
    paths = installed()
    if len(paths) == 1:
        return paths[0]
    programs = _programs(paths)
    # Where none starts, it says itself what is wrong with it.
    return (best(programs, maker(project)) or programs[0]).path


def no_program() -> str:
    """Return the sentence that there is none."""
    return tr(
        "There is neither docker compose nor docker-compose on this machine. Install one "
        "(Debian: apt-get install docker-compose; Ubuntu: apt-get install docker-compose-v2)."
    )


_looked_at: dict[tuple[str, int], tuple[float, Program]] = {}
"""When each was looked at, by path and time of change: a server lives on when one of them is upgraded."""


def _programs(paths: Sequence[str]) -> list[Program]:
    if not paths:
        raise PreflightError([no_program()])
    programs = []
    for path in paths:
        key = (path, os.stat(path).st_mtime_ns)
        at, known = _looked_at.get(key, (0.0, None))
        # What one lacks may be installed without a change of its file.
        if known is None or (not known.version and time.monotonic() - at > _KEPT_SECONDS):
            known = look(path)
            _looked_at[key] = time.monotonic(), known
        programs.append(known)
    return programs


def best(programs: Sequence[Program], made_by: str) -> Program | None:
    """Return the one to use where another, of version `made_by`, made the containers; None when none starts."""

    def rank(each: Program) -> tuple[bool, bool, bool]:
        is_first = each.version.startswith("1.")
        is_same_kind = bool(made_by) and made_by.startswith("1.") == is_first
        return each.version == made_by, is_same_kind, not is_first

    # The first of those that are equal.
    return max((each for each in programs if each.version), key=rank, default=None)


def look(path: str) -> Program:
    """Start one, and return what it is."""
    try:
        result = subprocess.run(
            [path, "version", "--short"],
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_START_SECONDS,
            check=False,
        )
    except OSError as error:
        return Program(path, "", error.strerror or str(error))
    except subprocess.TimeoutExpired:
        return Program(path, "", tr("no answer within {seconds} s", seconds=_START_SECONDS))
    version = re.match(r"v?(\d+\.[\d.]*\d)", result.stdout)
    if version and not result.returncode:
        return Program(path, version[1])
    last_line = clean_line((result.stderr or result.stdout).strip().rpartition("\n")[2])
    return Program(path, "", last_line or tr("exit code {code}", code=result.returncode))


def maker(project: str) -> str:
    """Return the version of compose that made the newest container of a project; '' without one, or without Docker."""
    with suppress(GovmaError), connected(_ENGINE_SECONDS, otherwise="") as client:
        with told_as(tr("list its containers")):
            # Not those of `docker compose run`, which any compose may have made.
            labels = [f"{PROJECT}={project}", VERSION, f"{ONE_OFF}=False"]
            entries = client.api.containers(all=True, filters={"label": labels})
        newest = max(entries, key=lambda entry: entry["Created"], default={"Labels": {VERSION: ""}})
        return str(newest["Labels"][VERSION])
    return ""


def exchange(made_by: str, *, second: bool) -> str:
    """Return what becomes of containers that another compose made than the one that is used now; '' for the same.

    Among versions of the same kind nothing is known beforehand. `second`: it is version 2 or later.
    """
    if not made_by or made_by.startswith("1.") != second:
        return ""
    return tr(
        "compose {version} made the containers, and version {number} is used now: it replaces each of them once, "
        "changed or not",
        version=made_by,
        number=2 if second else 1,
    )


def next_exchange(project: str) -> str:
    """Return what becomes of the project's containers at the next `up` for this reason; '' for nothing."""
    made_by = maker(project)
    used = best(_programs(installed()), made_by)
    return exchange(made_by, second=not used.version.startswith("1.")) if used else ""


def environment() -> dict[str, str]:
    """Return compose's environment: nothing of the caller's shell may win over `.env`, whoever asks."""
    return program_environment() | {"COMPOSE_ANSI": "never"}
