"""Operations from the console: the dialog shows what will happen, Cancel has the focus, and the run happens."""

from __future__ import annotations

import dataclasses
import os
import time

from textual.widgets import Checkbox

from govma_console.tui.dialogs.deploy import CancelDialog, DeployDialog, SwitchDialog
from govma_core.runs.store import RunStore
from tests.support.console import Driven, drive
from tests.support.histories import going_run
from tests.support.sample import git
from tests.support.sites import Site


def names(site: Site) -> list[str]:
    return [version.name for version in site.store.versions()]


def test_deploy_shows_the_pending_commits_and_deploys_them(past: Site) -> None:
    before = names(past)

    async def scenario(app: Driven) -> None:
        await app.press("d")
        assert isinstance(app.app.screen, DeployDialog)
        await app.sees("Brings 1 commit:")
        assert "Publica o calendário escolar" in app.text()
        assert app.app.focused is not None
        assert app.app.focused.id == "leave"
        await app.press("tab", "enter")
        await app.sees("deploy ok")
        await app.until(lambda: app.main.snapshot.pointer.version not in before, "the new version")
        await app.press("1")
        await app.sees("Publica o calend")

    drive(past.settings, scenario)
    assert past.store.pointer().version not in before


def test_a_deploy_that_would_be_refused_cannot_be_started(past: Site) -> None:
    """Guards that the dialog says what the deploy would say: what is in the way, and what the remote has no more."""
    past.sample.commit({"data/html/a.txt": "a"}, "Vazamento")
    past.deploy()
    git("push", "--quiet", "--force", "origin", "HEAD~1:main", cwd=past.sample.developer)
    own = past.settings.source_dir / "own.txt"

    async def scenario(app: Driven) -> None:
        own.touch()
        await app.press("d")
        await app.sees("is not clean")
        assert "Builds" not in app.text()
        assert app.app.screen.query_one("#do").disabled
        app.app.screen.query_one("#promote", Checkbox).toggle()
        await app.idle()
        assert app.app.screen.query_one("#do").disabled
        own.unlink()
        app.app.screen.set_focus(app.app.screen.query_one("#ref"))
        await app.press("enter")
        await app.until(lambda: not app.app.screen.query_one("#do").disabled, "the button")
        await app.sees("Withdrawn from origin/main")

    drive(past.settings, scenario)


def test_enter_on_a_dialog_that_just_opened_does_nothing(past: Site) -> None:
    async def scenario(app: Driven) -> None:
        for key in ("d", "r"):
            await app.press(key)
            await app.press("enter")
            assert app.at_main

    before = past.store.pointer().version
    drive(past.settings, scenario)
    assert past.store.pointer().version == before
    assert len(RunStore(past.settings.state_dir).ids()) == 3


def test_deploy_of_another_ref_without_making_it_live(past: Site) -> None:
    live = past.store.pointer().version

    async def scenario(app: Driven) -> None:
        await app.press("d")
        await app.sees("Brings 1 commit:")
        field = app.app.screen.query_one("#ref")
        app.app.screen.set_focus(field)
        await app.type("no-such-ref")
        await app.press("enter")
        await app.sees("is no branch of origin")
        assert app.app.screen.query_one("#do").disabled
        app.app.screen.set_focus(field)
        await app.press(*["backspace"] * 11)
        await app.press("enter")
        await app.sees("Brings 1 commit:")
        app.app.screen.set_focus(app.app.screen.query_one("#promote"))
        await app.press("space")
        await app.sees("[ ] make it live")
        app.app.screen.set_focus(app.app.screen.query_one("#do"))
        await app.press("enter")
        await app.sees("deploy ok")

    drive(past.settings, scenario)
    assert past.store.pointer().version == live
    assert len(names(past)) == 5


def test_rollback_of_the_live_version_leads_to_the_one_before_and_lists_what_it_undoes(past: Site) -> None:
    newest, before, *_ = names(past)

    async def scenario(app: Driven) -> None:
        await app.press("r")
        await app.sees("Undoes 1 commit:")
        screen = app.text()
        assert f"from {newest}" in screen
        assert f"to   {before}" in screen
        assert "It was live last" in screen
        await app.press("tab", "enter")
        await app.until(lambda: app.main.snapshot.pointer.version == before, "the switch")
        await app.sees("rollback ok")

    drive(past.settings, scenario)
    assert past.store.pointer().version == before


def test_rollback_goes_to_the_version_that_is_selected(past: Site) -> None:
    _, _, oldest, _ = names(past)

    async def scenario(app: Driven) -> None:
        await app.press("down", "down", "r")
        await app.sees("Undoes 2 commits:")
        await app.press("tab", "enter")
        await app.until(lambda: app.main.snapshot.pointer.version == oldest, "the switch")

    drive(past.settings, scenario)
    assert past.store.pointer().version == oldest


def test_promote_is_not_available_on_the_live_version(past: Site) -> None:
    newest, before, *_ = names(past)

    async def scenario(app: Driven) -> None:
        await app.press("p")
        assert app.at_main
        assert f"{newest} is live already; select another version." in app.notes
        await app.press("down", "p")
        assert isinstance(app.app.screen, SwitchDialog)
        await app.sees("Undoes 1 commit:")
        await app.press("tab", "enter")
        await app.until(lambda: app.main.snapshot.pointer.version == before, "the switch")

    drive(past.settings, scenario)


def test_a_version_of_another_tool_has_no_commit(site: Site, past: Site) -> None:
    async def scenario(app: Driven) -> None:
        await app.press("end", "r")
        await app.sees("What changes is not known: no commit is recorded")
        assert "It was live before" in app.text()

    drive(past.settings, scenario)


def test_cancel_asks_the_run_to_stop(past: Site) -> None:
    past.flags["install_command"] = "sleep 600"
    past.flags["asset_inputs"] = []
    before = past.store.pointer().version

    async def scenario(app: Driven) -> None:
        await app.press("c")
        assert "Nothing is running." in app.notes
        await app.press("d")
        await app.sees("Brings 1 commit:")
        await app.press("tab", "enter")
        await app.sees("● assets")
        await app.press("d")
        assert any("one run at a time" in note for note in app.notes)
        await app.press("c")
        assert isinstance(app.app.screen, CancelDialog)
        await app.sees("now in stage assets")
        await app.press("tab", "enter")
        await app.sees("deploy cancelled")

    drive(past.settings, scenario)
    assert past.store.pointer().version == before


def test_a_run_that_ends_closes_its_cancel_dialog(past: Site) -> None:
    runs = RunStore(past.settings.state_dir)
    run = going_run(runs, 1)

    async def scenario(app: Driven) -> None:
        await app.until(lambda: app.main.snapshot.active, "the run")
        await app.press("c")
        assert isinstance(app.app.screen, CancelDialog)
        runs.write(dataclasses.replace(run, state="ok", finished=time.time()))
        await app.until(lambda: app.at_main, "the end of the dialog")

    drive(past.settings, scenario)


def test_quitting_leaves_the_run_and_the_next_console_attaches(past: Site) -> None:
    go = past.sample.root / "go"
    past.flags["install_command"] = f"until [ -e {go} ]; do sleep 0.05; done"
    past.flags["asset_inputs"] = []
    os.chmod(past.settings.state_dir, 0o755)

    async def leave(app: Driven) -> None:
        await app.press("d")
        await app.sees("Brings 1 commit:")
        await app.press("tab", "enter")
        await app.sees("● assets")
        await app.press("q")

    console = drive(past.settings, leave)
    run = RunStore(past.settings.state_dir).going()
    assert run is not None
    assert f"deploy {run.id} continues" in console.background.farewell

    async def attach(app: Driven) -> None:
        await app.sees("● assets")
        assert app.main.has_class("show-log")
        go.touch()
        await app.sees("deploy ok")

    drive(past.settings, attach)
    assert RunStore(past.settings.state_dir).read(run.id).state == "ok"


def test_a_rollback_shows_another_env_file_and_can_renew_it(past: Site) -> None:
    _, before, *_ = names(past)
    with past.sample.env_file.open("a") as file:
        file.write("NEW=1\n")

    async def scenario(app: Driven) -> None:
        await app.press("r")
        await app.sees("was made with another env_file")
        await app.sees("[ ] put the present env_file into that version before the switch")
        app.app.screen.set_focus(app.app.screen.query_one("#env"))
        await app.press("space")
        app.app.screen.set_focus(app.app.screen.query_one("#do"))
        await app.press("enter")
        await app.until(lambda: app.main.snapshot.pointer.version == before, "the switch")
        await app.sees("rollback ok")

    drive(past.settings, scenario)
    env_file = past.settings.versions_dir / before / "system/user/config/.env"
    assert env_file.read_text() == past.sample.env_file.read_text()


def test_the_deploy_dialog_says_when_nothing_is_new_and_what_else_is(past: Site) -> None:
    past.deploy()

    async def scenario(app: Driven) -> None:
        await app.press("d")
        await app.sees("Nothing is new: this commit is live, made from the same")
        await app.press("escape")
        with past.sample.env_file.open("a") as file:
            file.write("NEW=1\n")
        await app.press("d")
        await app.sees("This commit is live, made with another env_file")

    drive(past.settings, scenario)
