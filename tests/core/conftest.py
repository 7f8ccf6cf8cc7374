"""Fixtures of the core's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.sites import Site, make_site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Give a sample site of the test's own."""
    return make_site(tmp_path / "site")
