"""The rehearsal in the app: tried alone by a key, and with a choice in the dialogs that put a version live."""

from __future__ import annotations

from govma_console.tui.dialogs.deploy import SwitchDialog
from govma_core.runs.store import RunStore
from tests.support.console import Driven, drive
from tests.support.sites import Site


def test_check_rehearses_the_selected_version_and_marks_a_failure(past: Site) -> None:
    """Guards the key, the mark in the table, and that a promotion of it is tried again unless one says otherwise."""
    live = past.store.pointer().version
    past.flags["rehearsal_command"] = f'test "$GOVMA_VERSION" = {live}'

    async def scenario(app: Driven) -> None:
        await app.press("1", "down", "e")
        await app.sees("check failed")
        await app.sees("failed")
        await app.press("1", "p")
        assert isinstance(app.app.screen, SwitchDialog)
        await app.sees("[x] test it before the switch")
        app.app.screen.set_focus(app.app.screen.query_one("#rehearse"))
        await app.press("space")
        app.app.screen.set_focus(app.app.screen.query_one("#do"))
        await app.press("enter")
        await app.sees("promote ok")

    drive(past.settings, scenario)
    promoted, checked = list(RunStore(past.settings.state_dir).records())[:2]
    assert (checked.operation, checked.state) == ("check", "failed")
    assert promoted.arguments["rehearse"] is False
    assert past.store.pointer().version not in (live, None)


def test_check_without_a_rehearsal_names_the_setting(past: Site) -> None:
    async def scenario(app: Driven) -> None:
        await app.press("1", "down", "e")
        await app.until(lambda: any("[rehearsal]" in note for note in app.notes), "why not")
        await app.press("p")
        assert isinstance(app.app.screen, SwitchDialog)
        assert not app.app.screen.query("#rehearse")

    drive(past.settings, scenario)
