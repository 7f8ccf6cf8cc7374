"""How the console starts and ends: without permissions, with wrong settings, after a fault, without a terminal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from textual.pilot import Pilot

from govma_console.tui.problem import ProblemApp
from tests.support.command import Command, environment
from tests.support.console import Driven, drive, screen_text
from tests.support.rights import as_root
from tests.support.sites import Site


@as_root
@pytest.mark.parametrize("scenario", ["scenario", "unread"])
def test_a_user_without_write_permission_gets_a_read_only_console(past: Site, scenario: str) -> None:
    """Runs in a process of its own, as nobody: what is not permitted shows only there."""
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from govma_core.settings import load\n"
        "from tests.support.console import drive\n"
        "settings = load({}, file=Path(sys.argv[1])).settings\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "async def scenario(app):\n"
        "    await app.sees('Read-only')\n"
        "    await app.press('d')\n"
        "    assert any('Run as root' in note for note in app.notes), app.notes\n"
        "    await app.press('3')\n"
        # Or "can be read by root", while another site of this machine has runs in /run/govma-console.
        "    await app.sees('be read')\n"
        "    await app.press('2', '4', '1', 'q')\n"
        "async def unread(app):\n"
        "    await app.press('home', '2')\n"
        "    await app.sees('Made by   not readable by this user')\n"
        "    shown = app.text()\n"
        "    assert 'another tool' not in shown and 'set by hand' not in shown and 'idle' not in shown, shown\n"
        "    assert 'Permission denied' not in shown and 'who deployed what' in shown, shown\n"
        "    await app.press('3')\n"
        "    await app.sees('The runs and their logs are not readable')\n"
        "drive(settings, locals()[sys.argv[2]], size=(80, 24))\n"
    )
    if scenario == "unread":
        past.settings.state_dir.chmod(0o700)
    root = str(Path(__file__).parents[2])
    process = subprocess.run(
        [sys.executable, "-c", code, str(past.sample.config_file), scenario],
        cwd=root,
        env=environment(PYTHONPATH=root, HOME="/nonexistent"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if "PermissionError" in process.stderr and root in process.stderr:
        pytest.skip("this checkout cannot be read by nobody")
    assert process.returncode == 0, process.stderr


def test_wrong_settings_are_listed_on_a_screen_of_their_own() -> None:
    import asyncio

    app = ProblemApp("/etc/govma-console.toml: there is no setting 'brnach'. Did you mean branch?\nbuilder: no")

    async def run() -> None:
        async with app.run_test(size=(80, 24)) as pilot:
            await leave(pilot)

    async def leave(pilot: Pilot[int]) -> None:
        await pilot.pause()
        screen = screen_text(app)
        assert "The settings are wrong" in screen
        assert "brnach" in screen
        await pilot.press("q")

    asyncio.run(run())
    assert app.return_value == 3


def test_a_fault_of_the_console_ends_it_with_a_sentence_and_a_file(past: Site) -> None:
    async def scenario(app: Driven) -> None:
        app.main.table._needs = 7  # type: ignore[assignment]
        app.main.table.refresh()
        await app.until(lambda: app.app.fault, "the fault")

    with pytest.raises(AttributeError):
        drive(past.settings, scenario)
    assert "AttributeError" in (past.settings.state_dir / "govma-console.err").read_text()


def test_list_imports_neither_textual_nor_watchfiles(past: Site) -> None:
    code = (
        "import sys; from govma_console.cli.main import main; main(sys.argv[1:]); "
        "names = ('textual', 'watchfiles', 'rich', 'docker', 'git'); "
        "import json; print(json.dumps([name for name in names if name in sys.modules]))"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, "--config", str(past.sample.config_file), "list"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert json.loads(process.stdout.splitlines()[-1]) == []


def test_without_a_terminal_the_console_does_not_start(past: Site) -> None:
    result = Command(past.sample.config_file, past.settings.state_dir).run()
    assert (result.code, "no terminal to draw on" in result.err) == (2, True)
