"""The line of stages: a build's steps stand in it while it goes on, and what comes after it has room."""

from __future__ import annotations

from tests.support.console import Driven, drive
from tests.support.sites import Site
from tests.support.step_site import step


def test_steps_are_shown_while_the_build_goes_on_and_the_end_of_the_run_always(site: Site) -> None:
    """Guards that many steps do not push what follows them out of the line's four lines."""
    go = site.sample.root / "go"
    quick = [step(f"collection-of-icons-{number}", "true", after=[]) for number in range(30)]
    waits = step("docs", f"until [ -e {go} ]; do sleep 0.05; done", after=[])
    site.flags |= {"install_command": "true", "build_steps": [*quick, waits]}

    async def scenario(app: Driven) -> None:
        await app.press("d", "tab", "enter")
        await app.sees("● docs")
        go.touch()
        await app.sees("✓ promote")
        stages = app.text()
        assert "✓ uploads" in stages
        assert "✓ publish" in stages
        assert "✓ assets" in stages
        assert "✓ collection-of-icons" not in stages

    drive(site.settings, scenario)


def test_a_step_that_failed_stays(site: Site) -> None:
    site.flags |= {"install_command": "true", "build_steps": [step("docs", "true"), step("prod", "exit 3")]}

    async def scenario(app: Driven) -> None:
        await app.press("d", "tab", "enter")
        await app.sees("deploy failed")
        await app.sees("✗ prod")
        assert "✓ docs" not in app.text()

    drive(site.settings, scenario)
