"""What a test needs to be allowed."""

from __future__ import annotations

import os

import pytest

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="changing owners needs root")
