"""The quick part of each sweep of `make faults`: nothing is lost, left over or reached."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.rights import as_root

pytestmark = [as_root, pytest.mark.root, pytest.mark.slow]

_BUILDS = (
    "folder:data/html/uploads",
    "relative-file:data/system/user/config/.env",
    "folder:data/system/user/config",
    "itself:data/html",
    "hard-link-open",
    "fifo-env",
    "invalid-utf8",
    "deep",
    "sparse",
    "chdir-daemon",
    "fork-bomb",
    "foreign-file",
    "writable",
)
_WEB = (
    "prepared folders",
    "prepared staging",
    "a version that is a link",
    "pointer out",
    "system/user swapped",
    "links among css",
)


@pytest.mark.parametrize(
    ("sweep", "options"),
    [
        ("killed", {"moments": 5, "calls": 1, "step": 20, "operations": ("deploy", "rollback")}),
        ("space", {"errors": 1, "rooms": 1, "operations": ("deploy",)}),
        ("clock", {"step": 20, "operations": ("deploy",)}),
        ("together", {"times": 1}),
        ("power", {}),
        ("hostile_build", {"cases": _BUILDS}),
        ("hostile_web", {"cases": _WEB}),
        ("tarballs", {}),
        ("races", {"rounds": 100, "least": 1}),
        ("exchanged_names", {"times": 25}),
        ("secrets", {}),
    ],
)
def test_nothing_is_lost_left_over_or_reached(
    tmp_path: Path, sweep: str, options: dict[str, Any | Sequence[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    result = importlib.import_module(f"tests.faults.{sweep}").sweep(tmp_path, **options)
    assert result.lost == 0, capsys.readouterr().err
    assert result.tried > 0, result
