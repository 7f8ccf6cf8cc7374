"""Sizes, dedupe, prune and pins from the app."""

from __future__ import annotations

from govma_console.tui.dialogs.disk import DedupeDialog, PruneDialog
from govma_core.runs.store import RunStore
from govma_core.versions.marks import PinStore
from tests.support.console import Driven, drive
from tests.support.sites import Site


def test_sizes_are_measured_and_the_next_console_shows_them_at_once(past: Site) -> None:
    sizes: list[int] = []

    async def fill(app: Driven) -> None:
        await app.until(lambda: app.main.background.use and app.main.background.use.real, "the account")
        sizes.extend(row.usage.size for row in app.main.snapshot.versions if row.usage)
        assert "links save" in app.text()
        await app.press("4")
        await app.sees("Disk that only this version uses  last")

    async def again(app: Driven) -> None:
        assert all(row.usage for row in app.main.snapshot.versions)

    drive(past.settings, fill)
    assert len(sizes) == 4
    assert min(sizes) > 0
    drive(past.settings, again)


def test_dedupe_shows_what_it_would_free_and_frees_it(past: Site) -> None:
    names = [version.name for version in past.store.versions()]
    one, other = (past.settings.versions_dir / name / "html/extra.bin" for name in names[1:3])
    for path in (one, other):
        path.write_bytes(b"x" * 50_000)

    async def scenario(app: Driven) -> None:
        await app.press("u")
        assert isinstance(app.app.screen, DedupeDialog)
        await app.sees("Would free")
        assert app.app.focused is not None
        assert app.app.focused.id == "leave"
        await app.press("tab", "enter")
        before = app.main.background.use
        await app.sees("dedupe ok")
        await app.until(lambda: app.main.background.use is not before, "the account after it")
        await app.idle()
        await app.press("1", "u")
        await app.sees("Nothing to do")
        assert app.app.screen.query_one("#do").disabled
        await app.press("escape")

    drive(past.settings, scenario)
    assert one.stat().st_ino == other.stat().st_ino


def test_prune_removes_only_after_the_word_was_typed(past: Site) -> None:
    past.flags["keep_versions"] = 1
    before = [version.name for version in past.store.versions()]

    async def scenario(app: Driven) -> None:
        await app.press("x")
        assert isinstance(app.app.screen, PruneDialog)
        await app.sees("Removes 2 versions, frees")
        screen = app.text()
        assert "was live before" in screen
        assert "REMOVE" in screen
        button = app.app.screen.query_one("#do")
        assert button.disabled
        app.app.screen.set_focus(app.app.screen.query_one("#confirm"))
        await app.type("remove 1")
        await app.press("enter")
        assert button.disabled
        assert isinstance(app.app.screen, PruneDialog)
        await app.press("backspace", "2")
        assert not button.disabled
        await app.press("enter")
        await app.sees("prune ok")
        await app.until(lambda: len(app.main.snapshot.versions) == 2, "the table without them")

    drive(past.settings, scenario)
    assert [version.name for version in past.store.versions()] == before[:2]


def test_another_policy_of_prune_is_shown_before_it_can_be_confirmed(past: Site) -> None:
    before = [version.name for version in past.store.versions()]

    async def scenario(app: Driven) -> None:
        await app.press("x")
        await app.sees("Nothing to remove")
        app.app.screen.set_focus(app.app.screen.query_one("#keep"))
        await app.press("backspace", "1")
        await app.sees("Press Enter to see what this policy would remove.")
        confirm = app.app.screen.query_one("#confirm")
        assert confirm.disabled
        await app.press("enter")
        await app.sees("Removes 2 versions, frees")
        assert not confirm.disabled
        app.app.screen.set_focus(app.app.screen.query_one("#age"))
        await app.type("9x")
        await app.press("enter")
        await app.sees("is not an age")
        assert confirm.disabled
        await app.press(*["backspace"] * 2, *"100w", "enter")
        await app.sees("Removes 1 version, frees")
        app.app.screen.set_focus(confirm)
        await app.type("remove 1")
        await app.press("enter")
        await app.sees("prune ok")

    drive(past.settings, scenario)
    remaining_names = [version.name for version in past.store.versions()]
    assert len(remaining_names) == len(before) - 1
    (run, *_) = RunStore(past.settings.state_dir).records()
    assert run.arguments == {"keep": 1, "older_than": "100w", "only": sorted(set(before) - set(remaining_names))}


def test_a_version_is_pinned_with_a_reason_and_unpinned(past: Site) -> None:
    store = PinStore(past.settings.state_dir)

    async def scenario(app: Driven) -> None:
        name = app.table.cursor
        await app.press("i")
        await app.type("release of the year")
        await app.press("enter")
        await app.sees("pinned")
        await app.until(lambda: app.main.snapshot.version(name).pin, "the pin")  # type: ignore[union-attr]
        assert store.read()[name or ""].reason == "release of the year"
        await app.press("2")
        await app.sees("State     pinned by ")
        await app.press("1")
        await app.press("i")
        await app.sees("Without the pin, prune may remove it.")
        await app.press("tab", "enter")
        await app.until(lambda: not store.read(), "the end of the pin")

    drive(past.settings, scenario)
