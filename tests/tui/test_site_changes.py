"""What other processes change on the disk appears in the console."""

from __future__ import annotations

import os

from govma_core.runs.store import RunStore
from tests.support.command import Command
from tests.support.console import Driven, drive
from tests.support.sites import Site


def test_a_run_of_another_process_and_its_version_appear(past: Site) -> None:
    go = past.sample.root / "go"
    text = past.sample.config_file.read_text().splitlines()
    other_lines = [line for line in text if not line.startswith(("install_command", "asset_inputs"))]
    past.sample.config_file.write_text(
        "\n".join([*other_lines, f'install_command = "until [ -e {go} ]; do sleep 0.05; done"'])
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
    latest = runs.latest()
    assert latest is not None
    # What the killed run left is ended, for the tests that follow: the builder's processes belong to nobody now.
    past.flags |= {"install_command": "true"}
    past.deploy()


def test_a_missing_versions_dir_is_a_notice_until_it_is_back(site: Site) -> None:
    site.settings.versions_dir.rename(site.settings.versions_dir.with_name("elsewhere"))

    async def scenario(app: Driven) -> None:
        await app.until(lambda: "cannot be read" in " ".join(app.text().split()), "the problem")
        await app.press("r", "p", "u", "x", "4", "2", "3", "o", "i")
        assert app.at_main
        site.settings.versions_dir.with_name("elsewhere").rename(site.settings.versions_dir)
        await app.until(lambda: app.main.snapshot.versions, "the versions, when they are back")

    drive(site.settings, scenario)
