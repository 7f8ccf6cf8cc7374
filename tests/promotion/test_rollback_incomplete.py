"""Rollbacks where something is amiss: the link stays valid, and the next run works.

A version before is damaged or marked, nothing is live, a rehearsal was killed, or state_dir has no room.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from govma_core.errors import RefusedError
from govma_core.promotion import promote, rehearsal, rehearsal_copy, rollback
from govma_core.versions import remove
from govma_core.versions.history import History
from govma_core.versions.holds import HoldStore
from govma_core.versions.marks import MarkStore
from tests.support.command import Command
from tests.support.mounts import small_file_system
from tests.support.releases import NAMES, Releases
from tests.support.rights import as_root

FIRST, BEFORE, LIVE = NAMES[:3]


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    releases = Releases(tmp_path / "site")
    releases.add(FIRST, BEFORE, LIVE, result="published")
    for name in (FIRST, BEFORE, LIVE):
        promote.run(releases.context(), version=name)
    return releases


def half_removed(releases: Releases) -> None:
    """Leave it as a removal does that is killed in the middle."""
    hidden = ".govma-removed-0123456789abcdef"
    (releases.directory / BEFORE).rename(releases.directory / hidden)
    shutil.rmtree(releases.directory / hidden / "html")
    note = remove.Note(str(releases.directory), BEFORE, hidden, True, (releases.directory / hidden).stat().st_ino)
    remove.Remover(releases.store, releases.state)._write(note)


def a_file_for_a_folder(releases: Releases) -> None:
    shutil.rmtree(releases.directory / BEFORE / "system")
    (releases.directory / BEFORE / "system").touch()


DAMAGES: dict[str, Callable[[Releases], object]] = {
    "gone": lambda releases: shutil.rmtree(releases.directory / BEFORE),
    "without html": lambda releases: shutil.rmtree(releases.directory / BEFORE / "html"),
    "without system": lambda releases: shutil.rmtree(releases.directory / BEFORE / "system"),
    "a file for system": a_file_for_a_folder,
    "half removed": half_removed,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_version_before_that_is_damaged_is_passed_over_and_refused_by_its_name(
    releases: Releases, damage: str
) -> None:
    DAMAGES[damage](releases)
    with pytest.raises(RefusedError, match=FIRST) as refused:
        rollback.run(releases.context(), version=BEFORE)
    is_there = damage.startswith(("without", "a file"))
    expected = f"{BEFORE} is incomplete (no html/ or no system/ in it)" if is_there else f"no version '{BEFORE}'"
    assert expected in str(refused.value)
    assert releases.store.pointer().version == LIVE
    assert MarkStore(releases.state).read() == {}
    assert rollback.run(releases.context()).version == FIRST
    assert releases.store.pointer().version == FIRST
    assert releases.whole(FIRST)


@pytest.mark.parametrize("damage", DAMAGES)
def test_without_a_whole_version_before_the_refusal_tells_why(releases: Releases, damage: str) -> None:
    DAMAGES[damage](releases)
    (releases.directory / FIRST / "html").rename(releases.directory / FIRST / "elsewhere")
    why = "incomplete" if damage.startswith(("without", "a file")) else "gone"
    told = f"{BEFORE} was live before, but is {why}, {FIRST} was live before, but is incomplete"
    with pytest.raises(RefusedError, match=told):
        rollback.run(releases.context())
    assert (releases.store.pointer().version, MarkStore(releases.state).read()) == (LIVE, {})
    assert promote.run(releases.context(), version=LIVE).version == LIVE


@pytest.mark.parametrize("content", [None, "", "{", "[]"])
def test_a_version_whose_manifest_is_missing_or_damaged_is_gone_back_to(
    releases: Releases, content: str | None
) -> None:
    """Guards the way out after a power cut in state_dir: what is known of a version is not what it needs to run."""
    for name in (BEFORE, LIVE):
        path = releases.state / "versions" / f"{name}.json"
        path.unlink() if content is None else path.write_text(content)
    outcome = rollback.run(releases.context())
    assert (outcome.version, outcome.commit, releases.store.pointer().version) == (BEFORE, "", BEFORE)
    assert set(MarkStore(releases.state).read()) == {LIVE}
    assert f"It is not recorded which commit {LIVE} was made from" in releases.log("warning")


def test_a_version_that_is_damaged_just_before_the_switch_does_not_go_live(
    releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollback, "_look_at_env_file", lambda *_, **more: DAMAGES["without html"](releases))
    with pytest.raises(RefusedError, match=f"{BEFORE} is not a complete version: html missing"):
        rollback.run(releases.context(), version=BEFORE)
    assert releases.store.pointer().version == LIVE
    assert (MarkStore(releases.state).read(), HoldStore(releases.state).read().commits) == ({}, ())
    assert len(History(releases.state).read()) == 3
    monkeypatch.undo()
    assert rollback.run(releases.context()).version == FIRST


def test_a_rollback_passes_over_marked_versions_and_names_their_marks(releases: Releases) -> None:
    rollback.run(releases.context())
    rollback.run(releases.context())
    told = (
        f"{BEFORE} was live before, but is marked bad by ana: rolled back to {FIRST}, "
        f"{LIVE} was live before, but is marked bad by ana: rolled back to {BEFORE}"
    )
    with pytest.raises(RefusedError, match=told):
        rollback.run(releases.context())
    assert releases.store.pointer().version == FIRST


def test_with_nothing_live_a_named_version_goes_live_and_none_is_marked(releases: Releases) -> None:
    with pytest.raises(RefusedError, match=f"{LIVE} is live now, not nothing"):
        rollback.run(releases.context(), version=BEFORE, live_shown="")
    (releases.directory / "current-version").unlink()
    with pytest.raises(RefusedError, match=f"Nothing is live now, not {LIVE}"):
        rollback.run(releases.context(), version=BEFORE, live_shown=LIVE)
    outcome = rollback.run(releases.context(), version=BEFORE, live_shown="")
    assert (outcome.version, outcome.version_before, releases.store.pointer().version) == (BEFORE, "", BEFORE)
    assert (MarkStore(releases.state).read(), HoldStore(releases.state).read().commits) == ({}, ())
    assert History(releases.state).read()[-1].previous == ""


@pytest.mark.parametrize("is_used", [False, True])
def test_leftovers_of_a_killed_rehearsal_are_removed_after_the_switch(
    releases: Releases, is_used: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the way back from an engine that does not answer."""
    live: list[str | None] = []
    monkeypatch.setattr(rehearsal_copy, "used", lambda state_dir: is_used)
    monkeypatch.setattr(rehearsal, "clear_leftovers", lambda *_: live.append(releases.store.pointer().version))
    rollback.run(releases.context(), version=BEFORE)
    assert live == ([BEFORE] if is_used else [])


@as_root
@pytest.mark.root
def test_a_state_dir_without_room_keeps_nobody_from_going_back(tmp_path: Path) -> None:
    releases = Releases(tmp_path / "site")
    command = Command(releases.config, releases.state)
    with small_file_system(releases.state, "512k"):
        releases.add(FIRST, BEFORE, result="published")
        releases.record(BEFORE, commit="b" * 40)
        releases.live(BEFORE)
        filler = releases.state / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        done = command.run("rollback", FIRST)
        assert done.code == 0, done.err
        assert os.readlink(releases.directory / "current-version") == FIRST
        for sentence in (
            f"{BEFORE} could not be marked as bad: No space left on device.",
            "could not be held: No space left on device.",
            "The promotion could not be written to the history: No space left on device.",
        ):
            assert sentence in done.err
        filler.unlink()
        done = command.run("promote", BEFORE)
        assert done.code == 0, done.err
        assert os.readlink(releases.directory / "current-version") == BEFORE
        (entry,) = History(releases.state).read()
        assert (entry.version, entry.previous) == (BEFORE, FIRST)
        runs = [record for record in command.runs.records() if not command.runs.path(record.id).is_relative_to("/run")]
        assert [(record.operation, record.state) for record in runs] == [("promote", "ok"), ("rollback", "ok")]
        assert releases.hidden() == []
