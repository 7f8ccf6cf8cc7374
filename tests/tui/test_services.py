"""The panel of the containers: what it shows, its log, and what has to be typed before anything is restarted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from govma_core.runs.store import RunStore
from tests.support.console import Driven, drive
from tests.support.engine import Engine
from tests.support.rights import passable
from tests.support.stack import Stack, dockerfile, stack


@pytest.fixture(scope="module", name="stacked")
def _stacked(tmp_path_factory: pytest.TempPathFactory, docker_engine: Engine, busybox_image: str) -> Iterator[Stack]:
    assert busybox_image
    with stack(passable(tmp_path_factory.mktemp("stack")), docker_engine) as compose_stack:
        yield compose_stack


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
def test_the_panel_shows_containers_differences_and_a_log_that_is_followed(
    stacked: Stack, size: tuple[int, int]
) -> None:
    """Guards the picture of the panel, and that no value of `.env` is in it."""
    compose = stacked.directory / "docker-compose.yml"
    original = compose.read_text()
    screens: list[str] = []

    async def scenario(app: Driven) -> None:
        await app.press("5")
        await app.sees(f"Services of {stacked.project}")
        await app.sees("apache         running")
        await app.sees("≠ 1 difference")
        screens.append(app.text())
        await app.press("enter")
        await app.sees("stop following")
        await app.sees("started with ${DB_PASSWORD}")
        screens.append(app.text())
        await app.press("down")
        await app.sees("another command is wanted. Takes: ")
        screens.append(app.text())
        await app.press("escape")
        await app.until(lambda: app.at_main, "the end of the panel")

    try:
        compose.write_text(original.replace("sleep 100000", "sleep 200000"))
        drive(stacked.site.settings, scenario, size=size)
    finally:
        compose.write_text(original)
    assert stacked.leaked(*screens) == []


def test_a_restart_asks_for_the_projects_name_and_its_log_is_shown(stacked: Stack) -> None:
    """Guards the dialog: it names the downtime, takes nothing but the name, and starts the operation."""
    (stacked.directory / "docker/apache/Dockerfile").write_text(dockerfile("console"))

    async def scenario(app: Driven) -> None:
        await app.press("5")
        await app.sees("apache         running")
        await app.press("U")
        await app.sees("The site does not answer while")
        await app.press("tab", "tab", "tab")
        field = app.app.screen.query_one("#confirm")
        app.app.screen.set_focus(field)
        await app.type("something")
        await app.press("enter")
        await app.until(lambda: any("type exactly" in note for note in app.notes), "the refusal")
        await app.press(*["backspace"] * len("something"))
        await app.type(stacked.project)
        await app.press("enter")
        await app.until(lambda: app.at_main, "the main screen")
        await app.sees("services ok", 90)

    drive(stacked.site.settings, scenario)
    record = RunStore(stacked.site.settings.state_dir).find(None)
    assert (record.state, record.arguments) == ("ok", {"services": None, "sync": False})
    assert stacked.page() == "console"
