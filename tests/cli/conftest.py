"""The command, on a sample site."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command import Command
from tests.support.releases import Releases, eight_releases
from tests.support.sample import SampleSite, create_sample


@pytest.fixture
def sample(tmp_path: Path) -> SampleSite:
    return create_sample(tmp_path / "site")


@pytest.fixture
def command(sample: SampleSite) -> Command:
    return Command(sample.config_file, sample.state_dir)


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    """Return eight releases, the last one live."""
    return eight_releases(tmp_path / "site")
