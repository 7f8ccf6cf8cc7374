"""Pictures of the screen, compared with those that were looked at. UPDATE_PICTURES=1 writes them anew."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from govma_console.tui.app import ConsoleApp
from tests.support.still_site import NOW, StillBackground, normalized, snapshot, write_log

PICTURES = Path(__file__).parent / "pictures"


@pytest.fixture(autouse=True)
def _time_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr("govma_console.formats.time.time", lambda: NOW)


@pytest.mark.parametrize(
    ("name", "size", "running", "keys", "environment"),
    [
        # The least terminal: all operations, the live version and the cursor are to be read without scrolling.
        ("table-80x24", (80, 24), False, ["down"], {}),
        # The log alone at 80x24: stages with times, progress, time left, an error that stands out, "following".
        ("log-80x24", (80, 24), True, ["3"], {}),
        # Side by side: table, detail with what a rollback would undo, log; every column but the last has room.
        ("wide-120x40", (120, 40), True, ["down", "down"], {}),
        # After a rollback: the header says what is held, the version that was left why it is bad and when it was live.
        ("held-120x40", (120, 40), False, ["up"], {}),
        # Without any colour: cursor, live version, focus and unavailable actions are still told apart.
        ("monochrome-80x24", (80, 24), False, ["down"], {"NO_COLOR": "1"}),
        # A light terminal with 16 colours: its own colours, none of ours.
        ("sixteen-colours-80x24", (80, 24), False, [], {"TERM": "xterm", "COLORFGBG": "0;15"}),
    ],
)
def test_the_screen_looks_as_it_did(
    name: str,
    size: tuple[int, int],
    running: bool,
    keys: list[str],
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    write_log(tmp_path)
    app = ConsoleApp(StillBackground(tmp_path, snapshot(running=running, held=name.startswith("held"))))

    async def take() -> str:
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await pilot.press(*keys)
            await pilot.pause()
            return normalized(app.export_screenshot(title=name))

    drawn = asyncio.run(take())
    kept = PICTURES / f"{name}.svg"
    if os.environ.get("UPDATE_PICTURES"):
        PICTURES.mkdir(exist_ok=True)
        kept.write_text(drawn)
    actual = tmp_path / f"{name}.svg"
    actual.write_text(drawn)
    same = drawn == kept.read_text()
    assert same, f"{name} looks different: compare {actual} with {kept}; UPDATE_PICTURES=1 keeps the new one"
