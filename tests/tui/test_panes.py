"""Table, detail, plot, log, help, palette and themes, on terminals of several sizes."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.events import Key

from govma_console.tui.dialogs.deploy import DeployDialog
from govma_console.tui.dialogs.help import HelpScreen
from govma_console.tui.dialogs.runs import RunsScreen
from govma_core.runs.store import RunStore
from tests.support.console import Driven, drive
from tests.support.histories import going_run, many_versions
from tests.support.sites import Site


def test_the_header_shows_the_live_version(past: Site) -> None:
    live = past.store.pointer().version

    async def scenario(app: Driven) -> None:
        screen = app.text()
        assert f"current-version → {live}" in screen
        assert "\u203a●" in screen
        assert "idle" in screen

    drive(past.settings, scenario)


def test_sorting_by_keys_and_by_a_click_keeps_the_cursor(past: Site) -> None:
    async def scenario(app: Driven) -> None:
        cursor = app.table.cursor
        assert app.table.sort_key == "made"
        await app.press("s")
        assert (app.table.sort_key, app.table.cursor) == ("commit", cursor)
        commits = [row.manifest.commit for row in app.table.rows if row.manifest]
        assert commits == sorted(commits)
        await app.press("S")
        assert [row.manifest.commit for row in app.table.rows if row.manifest] == sorted(commits, reverse=True)
        assert app.table.cursor == cursor
        await app.pilot.click("#versions", offset=(5, 0))
        assert (app.table.sort_key, app.table.cursor) == ("made", cursor)
        await app.pilot.click("#versions", offset=(5, 3))
        assert app.table.cursor == app.table.rows[2].name

    drive(past.settings, scenario)


def test_the_filter_ignores_case_and_accents_and_escape_ends_it(past: Site) -> None:
    async def scenario(app: Driven) -> None:
        await app.press("slash")
        await app.type("RODAPE")
        assert [row.manifest.subject for row in app.table.rows if row.manifest] == [
            "Corrige o rodapé da página inicial"
        ]
        assert "Versions (1 of 4) /RODAPE" in app.text()
        await app.press("enter")
        assert app.app.focused is app.table
        await app.press("escape")
        assert len(app.table.rows) == 4

    drive(past.settings, scenario)


def test_keys_that_arrive_with_the_slash_are_words_of_the_filter(past: Site) -> None:
    async def scenario(app: Driven) -> None:
        # As a slow line delivers them: many at once, before anything is drawn, and the rest a moment later.
        for key in ("slash", *"secretar"):
            app.app.post_message(Key(key, key if len(key) == 1 else None))
        await app.sees("Versions (1 of 4) /secretar")
        await app.press(*"ias", "enter")
        await app.sees("Versions (1 of 4) /secretarias")
        assert app.app.focused is app.table

    drive(past.settings, scenario)


def test_a_slash_in_the_filter_is_a_letter_of_it(past: Site) -> None:
    async def scenario(app: Driven) -> None:
        await app.press("slash", "a", "slash", "b")
        assert "/a/b" in app.text()

    drive(past.settings, scenario)


def test_the_detail_lists_what_a_rollback_would_undo(past: Site) -> None:
    async def scenario(app: Driven) -> None:
        await app.press("down", "2")
        await app.sees("Going back to it would undo 1 commit:")
        screen = app.text()
        assert "Atualiza a lista de secretarias" in screen
        assert "o shows its log" in screen

    drive(past.settings, scenario)


def test_panes_swap_on_a_narrow_terminal_and_stand_side_by_side_on_a_wide_one(past: Site) -> None:
    async def scenario(app: Driven) -> None:
        assert "following" not in app.text()
        await app.press("tab")
        assert "end of the log" in app.text()
        assert "Subject" not in app.text()
        await app.press("tab")
        assert "Subject" in app.text()
        await app.press("4")
        assert "Time that the deploy took" in app.text()
        await app.pilot.resize_terminal(160, 45)
        await app.sees("Subject")
        assert "end of the log" in app.text()
        await app.press("z")
        assert "Subject" not in app.text()
        await app.press("z", "1")
        assert "Subject" in app.text()
        for size in ((20, 6), (1, 1), (300, 90), (80, 24)):
            await app.pilot.resize_terminal(*size)
            await app.pilot.pause()
        assert "Subject" in app.text()

    drive(past.settings, scenario)


def test_help_and_palette_show_why_an_action_is_not_available(past: Site) -> None:
    async def scenario(app: Driven) -> None:
        await app.press("question_mark")
        assert isinstance(app.app.screen, HelpScreen)
        await app.sees("not now: ")
        await app.press("escape", "ctrl+p")
        await app.type("cancel run")
        await app.sees("not now: Nothing is running.")
        await app.press("escape", "ctrl+p")
        await app.type("check")
        await app.sees("[rehearsal]")
        await app.press("escape", "escape")
        assert app.at_main

    drive(past.settings, scenario)


def test_the_log_of_a_version_and_of_any_run_can_be_shown(past: Site) -> None:
    runs = RunStore(past.settings.state_dir).ids()

    async def scenario(app: Driven) -> None:
        await app.press("down", "down", "o")
        await app.until(lambda: app.main.log_pane.chosen_run == runs[2], "the log of the selected version")
        await app.sees(runs[2])
        await app.press("right_square_bracket")
        await app.sees(runs[1])
        await app.press("left_square_bracket")
        await app.sees(runs[2])
        await app.press("R")
        assert isinstance(app.app.screen, RunsScreen)
        await app.press("home", "enter")
        await app.sees(runs[0])
        await app.press("1", "end", "o")
        assert any("was not made by a run" in note for note in app.notes)

    drive(past.settings, scenario)


def test_search_select_copy_and_save(past: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runs = RunStore(past.settings.state_dir)
    run = going_run(runs, 3000)

    async def scenario(app: Driven) -> None:
        await app.until(lambda: app.log.file and app.log.file.count == 3001, "all lines")
        await app.press("3", "n")
        assert any("Search first" in note for note in app.notes)
        await app.press("slash")
        await app.type("Line 12")
        await app.press("enter")
        await app.until(lambda: "Not found." in app.notes, "that capitals are looked for as they are")
        await app.press("slash", "ctrl+u")
        await app.type("line 1234 ")
        await app.press("enter")
        await app.until(lambda: app.log.cursor == 1235, "the match")
        assert "paused at line 1,236" in app.text()
        await app.press("escape", "slash")
        await app.type("line 29")
        await app.press("enter")
        await app.until(lambda: app.log.cursor == 2901, "the next match from here")
        await app.press("n")
        await app.until(lambda: app.log.cursor == 2902, "the next match")
        await app.press("N", "N")
        await app.until(lambda: app.log.cursor == 300, "the match before")
        await app.press("v", "up", "y")
        await app.until(lambda: any("2 lines sent" in note for note in app.notes), "the copy")
        assert app.app.clipboard.count("\n") == 1
        await app.press("t", "w")
        assert app.log.timestamps
        assert app.log.wrap
        await app.press("s")
        await app.sees("Writes 3,001 lines")
        await app.press("enter")
        await app.until(lambda: any("3,001 lines written" in note for note in app.notes), "the file")
        await app.press("s", "enter")
        await app.until(lambda: any("is there already" in note for note in app.notes), "the refusal")

    drive(past.settings, scenario)
    saved = (tmp_path / f"deploy-{run.id}.log").read_text().splitlines()
    assert (len(saved), saved[-1][9:]) == (3001, "line 2999 of the build")


def test_scrolling_up_pauses_and_counts_new_lines(past: Site) -> None:
    runs = RunStore(past.settings.state_dir)
    run = going_run(runs, 200)

    async def scenario(app: Driven) -> None:
        await app.sees("following")
        await app.press("pageup")
        assert not app.log.following
        top = app.log.scroll_offset.y
        with (runs.path(run.id) / "events.jsonl").open("a") as file:
            file.write('{"event":"log","at":1.0,"level":"output","text":"one more"}\n' * 50)
        await app.sees("+50 lines: G follows")
        assert app.log.scroll_offset.y == top
        await app.press("G")
        await app.sees("following")
        assert "one more" in app.text()
        await app.press("f")
        assert not app.log.following
        await app.press("end")
        assert app.log.following

    drive(past.settings, scenario)


def test_five_hundred_versions(site: Site) -> None:
    many_versions(site.settings.versions_dir, site.settings.state_dir, 500)

    async def scenario(app: Driven) -> None:
        assert len(app.table.rows) == 501
        await app.press("home", "pagedown", "down")
        assert app.table.position == app.table.size.height - 1
        await app.press("end")
        assert app.table.position == 500
        await app.press("slash")
        await app.type("vacinação 7")
        assert 0 < len(app.table.rows) < 500

    drive(site.settings, scenario)


def test_the_theme_changes_and_all_themes_draw(past: Site) -> None:
    async def scenario(app: Driven) -> None:
        await app.press("T")
        assert app.app.theme == "govma-light"
        for theme in ("ansi-light", "ansi-dark", "nord", "govma-dark"):
            app.app.theme = theme
            await app.pilot.pause()
            assert "current-version" in app.text()

    drive(past.settings, scenario)


def test_an_action_of_the_footer_can_be_clicked_or_explains_why_not(past: Site) -> None:
    async def scenario(app: Driven) -> None:
        line = app.text().splitlines()[-2]
        await app.pilot.click("#actions", offset=(line.index("Promote") + 2, 0))
        assert any("is live already" in note for note in app.notes)
        assert app.at_main
        await app.pilot.click("#actions", offset=(line.index("Deploy") + 2, 0))
        assert isinstance(app.app.screen, DeployDialog)

    drive(past.settings, scenario)
