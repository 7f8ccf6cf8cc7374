"""A test session of several processes, by pytest-xdist: how many, what each takes on, and the one engine of them all.

A worker takes on whole files, because their fixtures are made once a file.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.support.engine_desk import EngineDesk

MOST = 4
"""Workers of a session; more have nothing to do when the longest files are under way."""
ORDER = (
    "systemd",
    "tui",
    "cli",
    "docs",
    "services",
    "served",
    "support",
    "server",
    "promotion",
    "deploy",
    "building",
    "disk",
    "prune",
    "runs",
)
"""Folders of tests as they are taken on: the slow ones first, so that the workers end together."""
TOGETHER = ("systemd",)
"""Folders that one worker takes on as a whole: these tests wait more than they work."""
_ENGINE_DESK = "engine_desk"


def number() -> int:
    """Return how many workers are of use here: one more than there are processors, because tests wait, too."""
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
    """Return the address where to ask for the engine; None in a session of one process."""
    told: dict[str, str] = getattr(config, "workerinput", {})
    return told.get(_ENGINE_DESK)


class ByFile(LoadScopeScheduling):  # type: ignore[misc]
    """Gives each worker that is free the next file, or folder of TOGETHER, in the order of the collection."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        folder = file.rpartition("/")[0]
        return folder if folder.rpartition("/")[2] in TOGETHER else file


def in_order(items: list[pytest.Item]) -> list[pytest.Item]:
    """Return the tests as they are to be taken on."""
    return sorted(items, key=lambda item: _turn(item.path.parent.name))


def _turn(folder: str) -> int:
    return ORDER.index(folder) if folder in ORDER else -1


_desk_key = pytest.StashKey[EngineDesk]()
