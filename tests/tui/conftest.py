"""Sites for the tests of the terminal app."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.histories import with_past
from tests.support.sites import Site, make_site


@pytest.fixture(autouse=True)
def _plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the terminal that runs the tests decides what the app looks like."""
    for name in ("NO_COLOR", "COLORFGBG", "SSH_CONNECTION", "GOVMA_ASCII", "LC_ALL", "LC_CTYPE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Give a site with one version, made by another tool."""
    return make_site(tmp_path / "site")


@pytest.fixture
def past(tmp_path: Path) -> Site:
    """Give a site with three deploys of earlier days, and one commit that is pending."""
    made = with_past(make_site(tmp_path / "site"), 3)
    made.sample.commit({"data/html/novo.txt": "novo"}, "Publica o calendário escolar")
    return made
