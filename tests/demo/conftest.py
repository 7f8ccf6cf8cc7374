"""Sample sites for the tests of the sample."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.sample import SampleSite, create_sample


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> SampleSite:
    """Return one sample for all tests that only read."""
    return create_sample(tmp_path_factory.mktemp("samples") / "site")


@pytest.fixture
def own(tmp_path: Path) -> SampleSite:
    """Return a sample that the test may change."""
    return create_sample(tmp_path / "own", legacy_version=False)
