"""Sites for the tests of the terminal app."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from govma_core.runs.launch import cancel
from govma_core.runs.store import RunStore
from tests.support.histories import with_past
from tests.support.sites import Site, make_site
from tests.support.waiting import wait_for


@pytest.fixture(autouse=True)
def _plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the terminal that runs the tests decides what the app looks like."""
    for name in ("NO_COLOR", "COLORFGBG", "SSH_CONNECTION", "GOVMA_ASCII", "LC_ALL", "LC_CTYPE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Yield a site with one version, made by another tool. Runs that a test leaves are ended."""
    new_site = make_site(tmp_path / "site")
    yield new_site
    runs = RunStore(new_site.settings.state_dir)
    unfinished_run = runs.going()
    if unfinished_run is not None and unfinished_run.pid != os.getpid():
        cancel(runs, unfinished_run.id)
        wait_for(lambda: runs.read(unfinished_run.id).ended, "the end of a run that the test left")


@pytest.fixture
def past(site: Site) -> Site:
    """Return a site with three deploys of earlier days, and one commit that is pending."""
    with_past(site, 3)
    site.sample.commit({"data/html/novo.txt": "novo"}, "Publica o calendário escolar")
    return site
