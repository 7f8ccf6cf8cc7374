"""Odd input, long texts, and states in which the console could show or do the wrong thing."""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from govma_console.output import hint_with
from govma_console.tui.dialogs.deploy import DeployDialog
from govma_console.tui.dialogs.disk import PruneDialog
from govma_console.tui.panes.log_export import for_clipboard, save
from govma_console.tui.panes.versions import COLUMNS, fit, needs
from govma_console.tui.site_state import SnapshotReader
from govma_core.errors import RefusedError
from govma_core.process.proc import ProcessId
from govma_core.runs import launch
from govma_core.runs.store import RunStore
from govma_core.versions.holds import Holds, HoldStore
from govma_core.versions.store import PREFIX
from tests.support.console import Driven, drive
from tests.support.histories import going_run, many_versions
from tests.support.sites import Site


def test_a_filter_that_looks_like_markup_is_text(past: Site) -> None:
    async def scenario(app: Driven) -> None:
        await app.press("slash", "left_square_bracket", "slash", "x", "right_square_bracket")
        await app.sees("/[/x]")
        await app.press("escape")
        await app.sees("Versions (4)")

    drive(past.settings, scenario)


def test_commands_in_notifications_name_the_settings_file(past: Site, request: pytest.FixtureRequest) -> None:
    request.addfinalizer(lambda: hint_with(None, ()))
    hint_with(Path("/srv/other.toml"), ["attach"])

    async def scenario(app: Driven) -> None:
        app.main.notify("`govma-console attach` follows it.", markup=False)
        notes = await app.until(lambda: app.notes, "the notification")
        assert notes == ["`govma-console --config /srv/other.toml attach` follows it."]

    drive(past.settings, scenario)


def test_a_dialog_with_a_long_text_shows_its_buttons_and_is_read_with_keys(site: Site) -> None:
    many_versions(site.settings.versions_dir, site.settings.state_dir, 60)

    async def scenario(app: Driven) -> None:
        await app.press("x")
        await app.sees("Removes ")
        for size in ((80, 24), (120, 40)):
            await app.pilot.resize_terminal(*size)
            screen = app.text()
            assert "Cancel        Remove" in screen, screen
            assert "to remove them, type" in screen, screen
        first = app.text()
        await app.press("pagedown", "down")
        assert app.text() != first
        await app.press("ctrl+end")
        await app.sees("keep  ")
        assert "Cancel        Remove" in app.text()
        assert isinstance(app.app.screen, PruneDialog)

    drive(site.settings, scenario)


def test_notifications_leave_the_buttons_of_a_dialog_free(past: Site) -> None:
    async def scenario(app: Driven) -> None:
        await app.press("d")
        await app.sees("Cancel        Deploy")
        for number in range(6):
            app.app.screen.notify(f"note {number}", timeout=60)
        await app.sees("note 5")
        assert "Cancel        Deploy" in app.text()

    drive(past.settings, scenario, size=(80, 24), notifications=True)


def test_names_of_impossible_times_are_shown(site: Site) -> None:
    for name in ("0001-01-01-00h00m00s", "9999-12-31-23h59m59s"):
        (site.settings.versions_dir / f"{PREFIX}{name}" / "html").mkdir(parents=True)

    async def scenario(app: Driven) -> None:
        await app.sees("Versions (3)")
        await app.press("home", "2")
        await app.sees("9999-12-31")

    drive(site.settings, scenario)


def test_control_sequences_in_the_link_are_removed(past: Site) -> None:
    link = past.settings.versions_dir / "current-version"
    link.unlink()
    link.symlink_to("/tmp/\x1bc\x1b]0;owned\x07evil")

    async def scenario(app: Driven) -> None:
        await app.until(lambda: "points to" in " ".join(app.text().split()), "what the link points to")
        assert not {"\x1b", "\x07"} & set(app.text())

    drive(past.settings, scenario)


def test_a_deploy_is_not_started_for_another_ref_than_the_plan(past: Site) -> None:
    async def scenario(app: Driven) -> None:
        await app.press("d")
        await app.sees("Brings 1 commit:")
        dialog = app.app.screen
        assert isinstance(dialog, DeployDialog)
        dialog.query_one("#ref").focus()
        await app.type("main")
        await app.sees("Press Enter")
        assert dialog.query_one("#do").disabled
        await app.press("enter")
        await app.sees("Brings 1 commit:")
        result = dialog.result()
        assert result is not None
        assert result["ref"] == "main"
        assert len(result["commit_shown"]) == 40

    drive(past.settings, scenario)


def test_ctrl_q_mentions_the_run_that_goes_on(past: Site) -> None:
    run = going_run(RunStore(past.settings.state_dir), 0)

    async def scenario(app: Driven) -> None:
        await app.until(lambda: app.main.snapshot.active, "the run")
        await app.press("x", "ctrl+q")

    app = drive(past.settings, scenario)
    assert f"deploy {run.id} continues" in app.background.farewell


def test_the_run_that_goes_on_is_shown_and_waiting_ones_are_counted(past: Site) -> None:
    store = RunStore(past.settings.state_dir)
    working = going_run(store, 0)
    going_run(store, 0, state="waiting")

    async def scenario(app: Driven) -> None:
        await app.sees("(+1 waiting)")
        assert app.main.log_pane.active is not None
        assert app.main.log_pane.active.record.id == working.id

    drive(past.settings, scenario)


def test_holds_that_cannot_be_read_are_a_notice(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(store: HoldStore) -> Holds:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "holds")

    monkeypatch.setattr(HoldStore, "read", refuse)
    assert SnapshotReader(site.settings).read().problems == ("holds: Permission denied.",)


def test_a_killed_run_is_interrupted_though_its_record_was_read_before(site: Site) -> None:
    """Guards the list of runs: a record of a killed run is the same file as before."""
    store = launch.prepare_store(site.settings)
    reader = SnapshotReader(site.settings)
    with subprocess.Popen(["sleep", "600"]) as process:
        try:
            runner = ProcessId.of(process.pid)
            record = store.create("deploy", {}, "ana", "test")
            store.write(
                dataclasses.replace(
                    record,
                    state="running",
                    pid=runner.pid,
                    pid_started=runner.started,
                    boot=runner.boot,
                    stage="assets",
                )
            )
            for _ in range(2):
                snapshot = reader.read()
                assert [run.state for run in snapshot.runs] == ["running"]
                assert snapshot.active is not None
        finally:
            process.kill()
    for _ in range(2):
        snapshot = reader.read()
        assert [(run.state, run.exit_code) for run in snapshot.runs] == [("interrupted", 1)]
        assert snapshot.active is None


def test_versions_dir_that_is_no_directory_is_not_called_read_only(site: Site) -> None:
    versions = site.settings.versions_dir
    versions.rename(versions.with_name("elsewhere"))
    versions.symlink_to("nowhere")
    snapshot = SnapshotReader(site.settings).read()
    assert snapshot.read_only == ""
    assert "cannot be read" in " ".join(snapshot.problems)


def test_the_free_space_is_kept_up_to_date_while_nothing_is_measured(
    past: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(app: Driven) -> None:
        await app.until(lambda: app.main.background.use and app.main.background.use.real, "the account")
        monkeypatch.setattr("govma_console.tui.disk_use.room", lambda settings: (1_000_000, 100_000_000_000))
        app.main._refresh_ages()
        await app.sees("100% used, 1.0M free")

    drive(past.settings, scenario)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("~nosuchuser/x", "is not the name of a file"),
        ("a\0b", "is not the name"),
        ("/no/such/folder/x", "No such file"),
    ],
)
def test_a_log_that_cannot_be_saved_is_refused_with_a_sentence(name: str, reason: str) -> None:
    with pytest.raises(RefusedError, match=reason) as caught:
        save(name, ["line"])
    assert "Errno" not in str(caught.value)


def test_matches_that_were_asked_for_are_forgotten_with_the_log(past: Site) -> None:
    going_run(RunStore(past.settings.state_dir), 300)

    async def scenario(app: Driven) -> None:
        file = await app.until(
            lambda: app.log.file if app.log.file and app.log.file.count == 301 else None, "all lines"
        )
        app.log.search("line")
        for _ in range(2):
            app.log.find(1)
        app.log.show(None)
        await app.until(lambda: not app.log._searching, "the end of the search")
        app.log.show(file)
        app.log.go_to(10)
        app.log.find(1)
        await app.until(lambda: not app.log._searching, "the match")
        assert app.log.cursor == 11

    drive(past.settings, scenario)


def test_saving_proposes_the_home_when_the_directory_was_removed(
    past: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "gone"
    directory.mkdir()
    before = Path.cwd()
    os.chdir(directory)
    directory.rmdir()

    async def scenario(app: Driven) -> None:
        await app.press("3", "s")
        await app.sees("Save the log")
        await app.sees("~/")

    try:
        drive(past.settings, scenario)
    finally:
        os.chdir(before)


def test_the_clipboard_gets_a_bounded_text_that_can_be_encoded() -> None:
    text, count = for_clipboard(["x" * 60_000, "caf\udce9", "y" * 60_000])
    assert count == 2
    assert text.encode().endswith(b"caf?")


def test_the_banner_of_a_hold_shows_at_any_width_and_without_colour(
    past: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    why = "the election pages stay as they are until Monday, and nobody must touch them before"

    async def scenario(app: Driven) -> None:
        before = app.main.query_one("#header").size.height
        HoldStore(past.settings.state_dir).hold(why, "ana", time.time())
        for width in (80, 160):
            await app.pilot.resize_terminal(width, 24)
            await app.sees("Deploys are held by ana")
            assert why in " ".join(" ".join(line.split()) for line in app.text().splitlines()[:5]).replace("⏸ ", "")
        assert app.main.query_one("#header").size.height > before
        HoldStore(past.settings.state_dir).release()
        await app.until(lambda: "held by ana" not in app.text(), "the end of the banner")

    drive(past.settings, scenario)


def test_versions_of_one_minute_differ_by_their_seconds(past: Site) -> None:
    live = past.current
    day, _, time = live.name.rpartition("-")
    other = f"{day}-{time[:6]}{(int(time[6:8]) + 1) % 60:02}s"
    shutil.copytree(live, live.with_name(other), symlinks=True)
    rows = {row.name: row for row in SnapshotReader(past.settings).read().versions}
    times = {name: COLUMNS[0].text(row) for name, row in rows.items()}
    assert times[live.name].endswith(f":{time[6:8]}")
    assert len(set(times.values())) == len(rows)
    assert {text.count(":") for text in times.values()} == {2}
    widths = {dict(fit(width, needs(rows.values(), "made")))[COLUMNS[0]] for width in range(40, 120)}
    assert (min(widths), max(widths)) == (16, len(times[live.name]))
    short = COLUMNS[0].short
    assert short is not None
    assert all(len(short(row)) == len("11-27 19:24:21") for row in rows.values())
