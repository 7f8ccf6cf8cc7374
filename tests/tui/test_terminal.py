"""The real command in a real terminal (tmux): deploy, log, rollback; a broken line; terminals that can do little."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from govma_core.runs.store import RunStore
from tests.support.sites import Site
from tests.support.tmux import Terminal, needs_tmux
from tests.support.waiting import wait_for

pytestmark = needs_tmux
Open = Callable[..., Terminal]


@pytest.fixture
def terminal() -> Iterator[Open]:
    """Yield a function that opens terminals; all are closed in the end."""
    terminals: list[Terminal] = []

    def make(config: Path, size: tuple[int, int] = (80, 24), **variables: str) -> Terminal:
        terminals.append(Terminal.open(config, size, **variables))
        return terminals[-1]

    yield make
    for each in terminals:
        each.close()


def hold_builds(site: Site) -> Path:
    """Have builds wait for a file, and return its path."""
    go = site.sample.root / "go"
    lines = [
        line for line in site.sample.config_file.read_text().splitlines() if not line.startswith("install_command")
    ]
    lines.append(
        f'install_command = "echo building; until [ -e {go} ]; do sleep 0.05; done; sh tools/build.sh install"'
    )
    site.sample.config_file.write_text("\n".join([line for line in lines if not line.startswith("asset_inputs")]))
    return go


def test_deploy_log_and_rollback_by_keys(past: Site, terminal: Open) -> None:
    before = past.store.pointer().version
    window = terminal(past.sample.config_file)
    window.sees(f"current-version → {before}")
    window.keys("d")
    window.sees("Brings 1 commit:")
    window.keys("Tab", "Enter")
    window.sees("deploy ok")
    after = wait_for(lambda: name if (name := past.store.pointer().version) != before else None, "the switch")
    window.sees("successfully deployed")
    window.sees(f"current-version → {after}")
    window.keys("1")
    window.sees("Publica o calend")
    window.keys("Home", "r")
    window.sees(f"to   {before}")
    window.keys("Tab", "Enter")
    window.sees("rollback ok")
    assert past.store.pointer().version == before
    window.keys("q")
    window.sees("EXIT=0")


def test_a_deploy_survives_its_terminal_and_the_next_one_attaches(past: Site, terminal: Open) -> None:
    go = hold_builds(past)
    before = past.store.pointer().version
    runs = RunStore(past.settings.state_dir)
    lost = terminal(past.sample.config_file)
    lost.sees("current-version")
    lost.keys("d")
    lost.sees("Brings 1 commit:")
    lost.keys("Tab", "Enter")
    lost.sees("building")
    lost.close()
    run = runs.going()
    assert run is not None
    assert run.process.alive()
    again = terminal(past.sample.config_file)
    again.sees("building")
    go.touch()
    again.sees("deploy ok")
    assert runs.read(run.id).state == "ok"
    assert past.store.pointer().version != before


def test_a_console_of_another_session_ends_with_its_terminal(past: Site) -> None:
    """Guards `su -c` and the like: no SIGHUP is sent there, and a console without a terminal kept a core busy."""
    ours, its = os.openpty()
    command = [sys.executable, "-m", "govma_console", "--config", str(past.sample.config_file)]
    console = subprocess.Popen(command, stdin=its, stdout=its, stderr=its, start_new_session=True)
    try:
        os.close(its)
        drawn = b""
        while b"current-version" not in drawn:
            drawn += os.read(ours, 65536)
        os.close(ours)
        assert console.wait(timeout=60) == 128 + signal.SIGHUP
    finally:
        console.kill()
        console.wait()


def test_quitting_prints_that_the_run_goes_on(past: Site, terminal: Open) -> None:
    go = hold_builds(past)
    window = terminal(past.sample.config_file)
    window.sees("current-version")
    window.keys("d")
    window.sees("Brings 1 commit:")
    window.keys("Tab", "Enter")
    window.sees("building")
    window.keys("q")
    window.sees("continues. `govma-console --config ")
    runs = RunStore(past.settings.state_dir)
    go.touch()
    wait_for(lambda: runs.going() is None, "the end of the run")
    latest = runs.latest()
    assert latest is not None
    assert latest.state == "ok"


def test_a_terminal_without_unicode_gets_ascii_only(past: Site, terminal: Open) -> None:
    window = terminal(past.sample.config_file, LC_ALL="C", LANG="C")
    screen = window.sees("current-version > data-build--")
    assert screen.isascii(), [character for character in screen if not character.isascii()]
    assert ">*" in screen
    window.keys("r")
    window.sees("Undoes 1 commit:")
    assert window.text().isascii()


def test_no_color_sends_no_colours_and_the_cursor_still_shows(past: Site, terminal: Open) -> None:
    window = terminal(past.sample.config_file, NO_COLOR="1")
    window.sees("current-version")
    window.keys("Down")
    wait_for(lambda: "\u203a " in window.text(), "the cursor on the next line")
    escapes = window.text(escapes=True)
    colours = [
        code for code in escapes.split("\x1b[")[1:] if code.partition("m")[0].split(";")[0][:1] in ("3", "4", "9")
    ]
    # 39 and 49 are the terminal's own; 3 and 4 alone are italic and underlined.
    assert [code for code in colours if code.partition("m")[0] not in ("39", "49", "3", "4", "9")] == []


def test_keys_that_arrive_together_go_where_they_belong(past: Site, terminal: Open) -> None:
    window = terminal(past.sample.config_file)
    window.sees("current-version")
    window.keys("/", "secretarias", "Enter")
    window.sees("Versions (1 of 4) /secretarias")
    window.resize(160, 45)
    window.sees("end of the log")
    window.resize(80, 24)
    wait_for(lambda: "end of the log" not in window.text(), "one pane at a time")
