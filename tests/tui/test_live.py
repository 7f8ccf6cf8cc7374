"""What others do appears; what this user may not do, and what is broken, is said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from textual.pilot import Pilot

from govma_console.tui.problem import ProblemApp
from govma_core.runs.store import RunStore
from tests.support.command import Command, environment
from tests.support.console import Driven, drive, screen_text
from tests.support.rights import as_root
from tests.support.sites import Site


def test_a_run_of_another_process_appears_live_and_its_version_too(past: Site) -> None:
    go = past.sample.root / "go"
    text = past.sample.config_file.read_text().splitlines()
    kept = [line for line in text if not line.startswith(("install_command", "asset_inputs"))]
    past.sample.config_file.write_text(
        "\n".join([*kept, f'install_command = "until [ -e {go} ]; do sleep 0.05; done"'])
    )
    other = Command(past.sample.config_file, past.settings.state_dir)

    async def scenario(app: Driven) -> None:
        with other.start("deploy") as process:
            await app.sees("● deploy by")
            await app.press("3")
            await app.sees("● assets")
            go.touch()
            await app.sees("deploy ok")
            process.communicate()
        await app.until(lambda: len(app.main.snapshot.versions) == 5, "the new version")

    drive(past.settings, scenario)


def test_a_link_switched_by_hand_appears(past: Site) -> None:
    names = [version.name for version in past.store.versions()]

    async def scenario(app: Driven) -> None:
        await app.until(lambda: app.main.background._watcher and app.main.background._watcher.is_alive(), "the watcher")
        # By hand, again and again until the watch has begun: nothing tells when that is.
        link, beside = past.settings.versions_dir / "current-version", past.settings.versions_dir / ".by-hand"

        def switched() -> bool:
            beside.unlink(missing_ok=True)
            beside.symlink_to(names[2])
            beside.replace(link)
            return app.main.snapshot.pointer.version == names[2]

        await app.until(switched, "the new target")
        assert f"current-version → {names[2]}" in app.text()
        link.unlink()
        await app.until(lambda: "nothing is live" in " ".join(app.text().split()), "the problem")

    drive(past.settings, scenario)


def test_a_killed_runner_is_shown_as_interrupted(past: Site) -> None:
    past.flags |= {"install_command": "sleep 600", "asset_inputs": []}
    runs = RunStore(past.settings.state_dir)

    async def scenario(app: Driven) -> None:
        await app.press("d")
        await app.sees("Brings 1 commit:")
        await app.press("tab", "enter")
        await app.sees("● assets")
        record = runs.going()
        assert record is not None
        os.kill(record.pid, 9)
        await app.sees("deploy interrupted")
        await app.sees("✗ assets")
        assert "last: deploy interrupted" in app.text()
        await app.press("1")
        assert app.main.situation.snapshot.active is None

    drive(past.settings, scenario)
    left = runs.latest()
    assert left is not None
    # What the killed run left is ended, for the tests that follow: the builder's processes belong to nobody now.
    past.flags |= {"install_command": "true"}
    past.deploy()


def test_versions_dir_that_is_not_there_is_a_sentence_and_not_an_end(site: Site) -> None:
    site.settings.versions_dir.rename(site.settings.versions_dir.with_name("elsewhere"))

    async def scenario(app: Driven) -> None:
        await app.until(lambda: "cannot be read" in " ".join(app.text().split()), "the problem")
        await app.press("r", "p", "u", "x", "4", "2", "3", "o", "i")
        assert app.at_main
        site.settings.versions_dir.with_name("elsewhere").rename(site.settings.versions_dir)
        await app.until(lambda: app.main.snapshot.versions, "the versions, when they are back")

    drive(site.settings, scenario)


@as_root
@pytest.mark.parametrize("scenario", ["scenario", "unread"])
def test_a_user_who_may_only_read_gets_a_read_only_app(past: Site, scenario: str) -> None:
    """Runs in a process of its own, as nobody: what is not permitted shows only there."""
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from govma_core.settings import load\n"
        "from tests.support.console import drive\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "async def scenario(app):\n"
        "    await app.sees('Read-only')\n"
        "    await app.press('d')\n"
        "    assert any('Run as root' in note for note in app.notes), app.notes\n"
        "    await app.press('3')\n"
        "    await app.sees('cannot be read')\n"
        "    await app.press('2', '4', '1', 'q')\n"
        "async def unread(app):\n"
        "    await app.press('home', '2')\n"
        "    await app.sees('Made by   not readable by this user')\n"
        "    shown = app.text()\n"
        "    assert 'another tool' not in shown and 'set by hand' not in shown and 'idle' not in shown, shown\n"
        "    await app.press('3')\n"
        "    await app.sees('The runs and their logs are not readable')\n"
        "drive(load({}, file=Path(sys.argv[1])).settings, locals()[sys.argv[2]], size=(80, 24))\n"
    )
    if scenario == "unread":
        past.settings.state_dir.chmod(0o700)
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", code, str(past.sample.config_file), scenario],
        cwd=root,
        env=environment(PYTHONPATH=root, HOME="/nonexistent"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if "PermissionError" in done.stderr and root in done.stderr:
        pytest.skip("this checkout cannot be read by nobody")
    assert done.returncode == 0, done.stderr


def test_wrong_settings_open_a_screen_that_says_what_and_where() -> None:
    import asyncio

    app = ProblemApp("/etc/govma-console.toml: there is no setting 'brnach'. Did you mean branch?\nbuilder: no")

    async def run() -> None:
        async with app.run_test(size=(80, 24)) as pilot:
            await leave(pilot)

    async def leave(pilot: Pilot[int]) -> None:
        await pilot.pause()
        shown = screen_text(app)
        assert "The settings are wrong" in shown
        assert "brnach" in shown
        await pilot.press("q")

    asyncio.run(run())
    assert app.return_value == 3


def test_a_fault_of_ours_ends_with_a_sentence_and_a_file(past: Site) -> None:
    async def scenario(app: Driven) -> None:
        app.main.table._needs = 7  # type: ignore[assignment]
        app.main.table.refresh()
        await app.until(lambda: app.app.fault, "the fault")

    with pytest.raises(AttributeError):
        drive(past.settings, scenario)
    assert "AttributeError" in (past.settings.state_dir / "govma-console.err").read_text()


def test_list_loads_neither_textual_nor_what_watches(past: Site) -> None:
    code = (
        "import sys; from govma_console.cli.main import main; main(sys.argv[1:]); "
        "names = ('textual', 'watchfiles', 'rich', 'docker', 'git'); "
        "import json; print(json.dumps([name for name in names if name in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--config", str(past.sample.config_file), "list"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_without_a_terminal_it_says_so(past: Site) -> None:
    done = Command(past.sample.config_file, past.settings.state_dir).run()
    assert (done.code, "no terminal to draw on" in done.err) == (2, True)
