"""Fixtures of the tests of disk usage."""

from __future__ import annotations

import pytest

from govma_core.disk import usage_walk
from tests.support.usage_world import SETTLED_NS


@pytest.fixture
def short_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what was written a tick ago taken for settled."""
    monkeypatch.setattr(usage_walk, "SETTLED_NS", SETTLED_NS)
