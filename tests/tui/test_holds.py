"""Holds and marks from the app: the dialogs, what they write, and what a held deploy takes."""

from __future__ import annotations

from textual.widgets import Button

from govma_console.tui.dialogs.deploy import DeployDialog
from govma_console.tui.dialogs.holds import HoldDialog, ReleaseDialog
from govma_core.runs.store import RunStore
from govma_core.versions.holds import HoldStore
from govma_core.versions.marks import MarkStore
from tests.support.console import Driven, drive
from tests.support.sites import Site


def test_deploys_are_held_with_reason_and_end_forced_and_released(past: Site) -> None:
    store = HoldStore(past.settings.state_dir)

    async def scenario(app: Driven) -> None:
        await app.press("H")
        assert "Nothing is held." in app.notes
        await app.press("h", "enter", "enter")
        assert isinstance(app.app.screen, HoldDialog)
        app.app.screen.query_one("#reason").focus()
        await app.type("freeze")
        await app.press("enter")
        await app.type("soon")
        await app.sees("'soon' is not a time such")
        await app.press("enter")
        assert app.app.screen.query_one("#do", Button).disabled
        await app.press(*["backspace"] * 4, "2", "h")
        await app.sees("Deploys are refused until 2")
        await app.press("enter", "enter")
        await app.sees("⏸ Deploys are held by")
        hold = store.read().by_hand
        assert hold is not None
        assert (hold.reason, round(hold.until - hold.at)) == ("freeze", 7200)
        await app.press("d")
        await app.sees("[ ] deploy in spite of the hold")
        dialog = app.app.screen
        assert isinstance(dialog, DeployDialog)
        assert dialog.query_one("#do", Button).disabled
        dialog.query_one("#promote").focus()
        await app.press("space")
        assert dialog.query_one("#do", Button).disabled
        dialog.query_one("#force").focus()
        await app.press("space")
        assert not dialog.query_one("#do", Button).disabled
        result = dialog.result()
        assert result is not None
        assert result["force"] is True
        await app.press("escape", "H")
        assert isinstance(app.app.screen, ReleaseDialog)
        await app.sees("and deploys go live again")
        await app.press("enter")
        assert store.read()
        await app.press("H", "tab", "enter")
        await app.until(lambda: "⏸" not in app.text(), "the end of the banner")

    drive(past.settings, scenario)
    assert not store.read()


def test_a_rollback_marks_the_version_that_it_leaves_and_holds_its_commit(past: Site) -> None:
    newest, before, *_ = (version.name for version in past.store.versions())
    past.sample.commit({"data/html/novo.txt": "de novo"}, "Outra")

    async def scenario(app: Driven) -> None:
        await app.press("r")
        await app.sees("[x] mark ")
        await app.press("tab", "enter")
        await app.sees("rollback ok")
        await app.until(lambda: app.main.snapshot.pointer.version == before, "the switch")
        await app.press("1", "home", "2")
        await app.sees("bad: rolled back to data-build--")
        (hold,) = HoldStore(past.settings.state_dir).read().commits
        await app.press("d")
        await app.sees("Brings 3 commits")
        assert "in spite of" not in app.text()
        dialog = app.app.screen
        dialog.query_one("#ref").focus()
        await app.type(hold.commit)
        await app.press("enter")
        await app.sees("[ ] deploy in spite of the hold")
        assert dialog.query_one("#do", Button).disabled
        dialog.query_one("#promote").focus()
        await app.press("space")
        assert not dialog.query_one("#do", Button).disabled
        await app.press("escape", "1", "home", "p")
        await app.sees("It was marked bad by")

    drive(past.settings, scenario, size=(120, 40))
    assert MarkStore(past.settings.state_dir).read()[newest].kind == "bad"


def test_a_rollback_can_be_started_without_the_mark(past: Site) -> None:
    async def scenario(app: Driven) -> None:
        await app.press("r")
        await app.sees("[x] mark ")
        app.app.screen.query_one("#mark").focus()
        await app.press("space")
        app.app.screen.query_one("#do").focus()
        await app.press("enter")
        await app.sees("rollback ok")

    drive(past.settings, scenario)
    run = RunStore(past.settings.state_dir).latest()
    assert run is not None
    assert run.arguments["keep_mark"] is True
    assert MarkStore(past.settings.state_dir).read() == {}
