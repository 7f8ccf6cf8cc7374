"""Pictures of the screen, compared with those that were looked at. UPDATE_PICTURES=1 writes them anew.

The site in them is made up, and never changes; the time stands still.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from textual.screen import Screen

from govma_console.tui.app import ConsoleApp
from govma_console.tui.background import Background
from govma_console.tui.disk_use import DiskUse
from govma_console.tui.plans import SwitchPlan
from govma_console.tui.site_state import Snapshot
from govma_console.version_row import VersionRow
from govma_core.deploy.commits import Commit
from govma_core.disk.usage import VersionUsage
from govma_core.events import Event, LogLine, Progress, StageFinished, StageStarted, to_json
from govma_core.runs.store import RunRecord
from govma_core.settings import load
from govma_core.versions.history import Promotion, spans
from govma_core.versions.holds import NO_HOLDS, Hold, Holds
from govma_core.versions.manifest import Manifest
from govma_core.versions.marks import Mark, Pin
from govma_core.versions.store import Pointer, Version
from tests.support.histories import PEOPLE, SUBJECTS

PICTURES = Path(__file__).parent / "pictures"
NOW = 1_700_000_000.0
_NAMES = [f"data-build--2023-11-{day:02d}-09h30m00s" for day in (14, 13, 10, 8, 2)]


class _StillBackground(Background):
    """The work beside a screen that has one snapshot; nothing is read, watched or measured."""

    def __init__(self, state_dir: Path, snapshot: Snapshot) -> None:
        super().__init__(load({}, flags={"state_dir": str(state_dir)}).settings, snapshot)
        self.use = DiskUse(
            38 << 30,
            100 << 30,
            {name: _usage(name, at) for at, name in enumerate(_NAMES)},
            290 << 20,
            305 << 20,
        )

        self._put_together(snapshot)

    def begin(self, screen: Screen[None]) -> None:
        self._screen = screen

    def refresh(self) -> None:
        pass

    def measure(self) -> None:
        pass

    def comparison(self, row: VersionRow) -> SwitchPlan:
        undone = [Commit(f"{at:09x}{0:031x}", SUBJECTS[at], "Ana Moura", NOW) for at in range(2)]
        return SwitchPlan(self.snapshot.pointer.version or "", row, undone, [], NOW, True)


def _snapshot(*, running: bool, has_hold: bool = False) -> Snapshot:
    """Return a state of the site: five versions, the second one live; with a run going on, or a commit held, or not."""
    rows = tuple(_row(name, at) for at, name in enumerate(_NAMES))
    run = RunRecord(
        id="20231114-220000-0abc",
        operation="deploy",
        arguments={},
        by="bruno",
        origin="http",
        created=NOW - 42,
        started=NOW - 42,
        state="running" if running else "ok",
        finished=0.0 if running else NOW - 2,
        message="" if running else f"{_NAMES[0]} is live.",
    )
    live = Promotion(NOW - 7200, _NAMES[1], _NAMES[0], "rollback", "ana", "20231114-200000-0001")
    earlier = RunRecord(
        id="20231113-080000-0001",
        operation="deploy",
        arguments={},
        by="ana",
        origin="cli",
        created=NOW - 90_000,
        started=NOW - 90_000,
        finished=NOW - 89_940,
        state="ok",
    )
    hold = Hold("1" * 40, _NAMES[0], f"rolled back to {_NAMES[1]}", "ana", NOW - 7200)
    return Snapshot(
        at=NOW,
        host="prod-web-1",
        pointer=Pointer(_NAMES[1], _NAMES[1]),
        versions=rows,
        promotions=(live,),
        runs=(run, earlier),
        holds=Holds(None, (hold,)) if has_hold else NO_HOLDS,
        spans=tuple(spans([live], _NAMES[1])),
    )


def _write_log(state_dir: Path) -> None:
    """Write the log of the run that is in the snapshot."""
    folder = state_dir / "runs" / "20231114-220000-0abc"
    folder.mkdir(parents=True)
    events: list[Event] = [
        StageStarted(NOW - 42, "preflight"),
        StageFinished(NOW - 41, "preflight", "ok", 0.4),
        StageStarted(NOW - 41, "source"),
        LogLine(NOW - 41, "warning", "The checkout was not on main; it goes back there."),
        StageFinished(NOW - 40, "source", "ok", 1.2, "0123456 Nova página da ouvidoria"),
        StageStarted(NOW - 40, "assets"),
        *(LogLine(NOW - 40 + at, "output", f"[{at:2}%] compiling resources/css/site-{at}.css …") for at in range(30)),
        LogLine(NOW - 5, "error", "resources/js/menu.js: Unexpected token (12:3)"),
        Progress(NOW - 4, "assets", 1204, 5283, "files"),
    ]
    (folder / "events.jsonl").write_text("".join(to_json(event) + "\n" for event in events))


def _normalized(svg: str) -> str:
    """Return a picture without what differs from one to the next of the same screen."""
    return re.sub(r"terminal-\d+", "terminal", svg)


def _usage(name: str, at: int) -> VersionUsage:
    exclusive = (9 + 7 * at) << 20
    return VersionUsage(name, 60 << 20, 61 << 20, exclusive, (61 << 20) - exclusive, 5283)


def _row(name: str, at: int) -> VersionRow:
    manifest = Manifest(
        version=name,
        run="20231114-220000-0abc",
        commit=f"{at + 1:x}" * 40,
        subject=SUBJECTS[at],
        author="Ana Beatriz Moura",
        committed=NOW - 90_000 * (at + 1),
        ref="main",
        by=PEOPLE[at % 4],
        origin="cli",
        started=NOW - 86_400 * (at + 1),
        finished=NOW - 86_400 * (at + 1) + 31,
        assets="built",
        builder="docker",
        files=5283,
        bytes=60 << 20,
        result="published",
    )
    # Local time is UTC in pictures.
    local_time = datetime.fromtimestamp(NOW - 86_400 * (at + 1) + 37_000, UTC).replace(tzinfo=None)
    mark = Mark(name, "bad", f"rolled back to {_NAMES[1]}", "ana", NOW - 7200) if at == 0 else None
    return VersionRow(
        version=Version(name, local_time, complete=at != 2),
        is_live=at == 1,
        pin=Pin(name, "ana", "before the election") if at == 3 else None,
        manifest=manifest if at != 4 else None,
        mark=mark,
    )


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
    _write_log(tmp_path)
    app = ConsoleApp(_StillBackground(tmp_path, _snapshot(running=running, has_hold=name.startswith("held"))))

    async def take() -> str:
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await pilot.press(*keys)
            await pilot.pause()
            return _normalized(app.export_screenshot(title=name))

    drawn = asyncio.run(take())
    reference = PICTURES / f"{name}.svg"
    if os.environ.get("UPDATE_PICTURES"):
        PICTURES.mkdir(exist_ok=True)
        reference.write_text(drawn)
    actual = tmp_path / f"{name}.svg"
    actual.write_text(drawn)
    same = drawn == reference.read_text()
    assert same, f"{name} looks different: compare {actual} with {reference}; UPDATE_PICTURES=1 keeps the new one"
