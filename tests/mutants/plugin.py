"""What pytest does for `make mutants`: say which test runs which lines, or run the chosen tests in their order.

With MUTANTS_SECONDS, the name of a file, it is measured: each test's id becomes the context of what coverage.py
sees in this process and, through MUTANTS_TEST, in the processes that the test starts (see `covering.CONFIGURATION`),
and a line `[id, outcome, seconds]` of JSON goes to that file. With MUTANTS_CHOSEN, the name of a file of JSON with a
list of `[id, seconds]`, only these tests are run, in this order, each with a limit of its own.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Generator

import coverage
import pytest

LIMIT = 10.0
"""Seconds that a test has at least before it counts as hanging, and how many times as long as without a mutant."""

_seconds: dict[str, float] = defaultdict(float)
_outcomes: dict[str, str] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Name the test in all that is measured."""
    measured = coverage.Coverage.current() if "MUTANTS_SECONDS" in os.environ else None
    os.environ["MUTANTS_TEST"] = item.nodeid
    if measured:
        measured.switch_context(item.nodeid)
    result = yield
    if measured:
        measured.switch_context("")
        with open(os.environ["MUTANTS_SECONDS"], "a") as file:
            file.write(json.dumps([item.nodeid, _outcomes[item.nodeid], round(_seconds[item.nodeid], 3)]) + "\n")
    return result


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up what the parts of a test take, and keep the worst that one says."""
    _seconds[report.nodeid] += report.duration
    if report.outcome != "passed" or report.nodeid not in _outcomes:
        _outcomes[report.nodeid] = report.outcome


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the chosen tests, in their order."""
    if path := os.environ.get("MUTANTS_CHOSEN"):
        with open(path) as file:
            chosen = dict(json.load(file))
        by_id = {item.nodeid: item for item in items}
        items[:] = [by_id[name] for name in chosen]
        for item in items:
            item.add_marker(pytest.mark.timeout(LIMIT + LIMIT * chosen[item.nodeid]), append=False)
