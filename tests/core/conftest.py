"""Fixtures of the core's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from govma_core.disk.usage import walk
from govma_core.versions.store import VersionStore
from tests.support.releases import Releases, eight_releases
from tests.support.sites import Site, make_site
from tests.support.small_store import small_store
from tests.support.usage_world import SETTLED_NS


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Return a sample site of the test's own."""
    return make_site(tmp_path / "site")


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    """Return eight releases, the last one live."""
    return eight_releases(tmp_path / "site")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Return a directory for what is written down about the small store."""
    path = tmp_path / "state"
    path.mkdir()
    return path


@pytest.fixture
def store(tmp_path: Path, state: Path) -> VersionStore:
    """Return a few small versions."""
    return small_store(tmp_path / "www_versions")


@pytest.fixture
def short_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what was written a tick ago taken for settled."""
    monkeypatch.setattr(walk, "SETTLED_NS", SETTLED_NS)
