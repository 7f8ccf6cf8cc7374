"""A test session of several processes, by pytest-xdist: how many, what each takes on, and the one engine of them all.

A worker takes on whole files, because their fixtures are made once a file.
"""

from __future__ import annotations

import os

import pytest

from tests.support.engine_desk import EngineDesk

MOST = 4
"""Workers of a session; more have nothing to do when the longest files are under way."""
ORDER = ("systemd", "tui", "cli", "e2e", "live", "server", "core", "unit")
"""Folders of tests as they are taken on: the slow ones first, so that the workers end together."""
TOGETHER = ("systemd",)
"""Folders that one worker takes on as a whole: these tests wait more than they work."""
_ENGINE_DESK = "engine_desk"


def number() -> int:
    """Give how many workers are of use here: one more than there are processors, because tests wait, too."""
    return min(MOST, len(os.sched_getaffinity(0)) + 1)


def open_desk(config: pytest.Config) -> None:
    """Have the engine for all workers started by this process, when one of them asks."""
    desk = EngineDesk()
    config.add_cleanup(desk.close)
    config.stash[_desk_key] = desk


def tell_worker(config: pytest.Config, workerinput: dict[str, object]) -> None:
    """Say to a worker where to ask for the engine."""
    workerinput[_ENGINE_DESK] = config.stash[_desk_key].address


def engine_desk(config: pytest.Config) -> str | None:
    """Give the address where to ask for the engine; None in a session of one process."""
    told: dict[str, str] = getattr(config, "workerinput", {})
    return told.get(_ENGINE_DESK)


def share_out(items: list[pytest.Item]) -> None:
    """Sort the tests by what is taken on first, and mark what goes to a worker as a whole."""
    for item in items:
        folder = item.path.parent.name
        item.add_marker(pytest.mark.xdist_group(folder if folder in TOGETHER else item.location[0]))
    items.sort(key=lambda item: _turn(item.path.parent.name))


def _turn(folder: str) -> int:
    return ORDER.index(folder) if folder in ORDER else -1


_desk_key = pytest.StashKey[EngineDesk]()
