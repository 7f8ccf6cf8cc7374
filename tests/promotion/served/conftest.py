"""Fixtures of the tests of what is served."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.php_site import PhpSite
from tests.support.releases import NAMES

FIRST, SECOND, THIRD = NAMES[:3]


@pytest.fixture
def site(tmp_path: Path) -> PhpSite:
    """Return a site of two versions, the first one live, whose rehearsal and activation are not set yet."""
    if os.geteuid() != 0:
        pytest.skip("files are given to the web server's user, which takes root")
    site = PhpSite(tmp_path / "site")
    site.add(FIRST, SECOND)
    site.live(FIRST)
    return site
