"""What the next run does with a removal that was killed in the middle."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from govma_core.events import Event, LogLine
from govma_core.fs import jsonfile, safefs
from govma_core.reporting import Reporter
from govma_core.versions import remove
from govma_core.versions.remove import Remover, sweep
from govma_core.versions.store import VersionStore
from tests.support.small_store import OLD, add_records, hidden, switch_by_hand, whole


def hide_as_a_killed_removal_does(store: VersionStore, state: Path, *, clearing: bool) -> str:
    name = ".govma-removed-0123456789abcdef"
    (store.directory / OLD).rename(store.directory / name)
    info = (store.directory / name).stat()
    note = remove.Note(str(store.directory), OLD, name, clearing, info.st_ino)
    jsonfile.replace(state / "removal.json", {field: getattr(note, field) for field in note.__slots__})
    return name


@pytest.mark.parametrize("clearing", [False, True])
def test_the_next_run_finishes_what_a_killed_one_began(store: VersionStore, state: Path, clearing: bool) -> None:
    hide_as_a_killed_removal_does(store, state, clearing=clearing)
    records = add_records(state)
    assert OLD in Remover(store, state).take_up()
    assert not any(path.exists() for path in records)
    with safefs.opened_root(store.directory) as fd:
        sweep(fd)
    assert hidden(store) == []
    assert Remover(store, state).take_up() == ""


def test_a_note_about_another_versions_dir_is_left_to_that(store: VersionStore, state: Path) -> None:
    """Guards a versions_dir that was changed in the settings: the version of its name here keeps its records."""
    hidden_name = hide_as_a_killed_removal_does(store, state, clearing=True)
    note = state / "removal.json"
    note.write_text(note.read_text().replace(str(store.directory), "/srv/elsewhere"))
    records = add_records(state)
    before = note.read_bytes()
    assert Remover(store, state).take_up() == ""
    assert all(path.exists() for path in records)
    assert note.read_bytes() == before
    assert hidden(store) == [hidden_name]


def test_another_directory_under_the_hidden_name_is_not_removed(store: VersionStore, state: Path) -> None:
    aside = store.directory / hide_as_a_killed_removal_does(store, state, clearing=True)
    aside.rename(store.directory / "elsewhere")
    aside.mkdir()
    (aside / "file").write_text("root's")
    Remover(store, state).take_up()
    with safefs.opened_root(store.directory) as fd:
        sweep(fd)
    assert (aside / "file").read_text() == "root's"


@pytest.mark.parametrize("clearing", [False, True])
def test_a_version_that_went_live_after_the_kill_is_put_back_unless_it_was_being_cleared(
    store: VersionStore, state: Path, clearing: bool
) -> None:
    hide_as_a_killed_removal_does(store, state, clearing=clearing)
    switch_by_hand(store)
    sentence = Remover(store, state).take_up()
    assert ("is back" in sentence) is not clearing
    assert (store.directory / OLD).is_dir() is not clearing
    if not clearing:
        assert whole(store.directory / OLD)


def test_a_version_that_could_not_be_put_back_is_put_back_by_the_next_run(
    store: VersionStore, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide_as_a_killed_removal_does(store, state, clearing=False)
    switch_by_hand(store)

    def fails(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(safefs, "rename_noreplace", fails)
        with pytest.raises(OSError, match="Input/output"):
            Remover(store, state).take_up()
    assert "is back" in Remover(store, state).take_up()
    assert whole(store.directory / OLD)


def test_a_version_that_has_its_name_is_none_that_was_being_removed(store: VersionStore, state: Path) -> None:
    """Guards a kill before the rename, and one between the way back and the end of the note."""
    name = hide_as_a_killed_removal_does(store, state, clearing=False)
    (store.directory / name).rename(store.directory / OLD)
    records = add_records(state)
    assert Remover(store, state).take_up() == ""
    assert not (state / "removal.json").exists()
    assert whole(store.directory / OLD)
    assert all(path.exists() for path in records)


def test_a_live_version_that_is_gone_altogether_is_not_put_back(store: VersionStore, state: Path) -> None:
    name = hide_as_a_killed_removal_does(store, state, clearing=False)
    switch_by_hand(store)
    (store.directory / name).rename(store.directory.parent / "elsewhere")
    assert "is finished" in Remover(store, state).take_up()
    assert not (state / "removal.json").exists()


def test_what_else_was_left_is_swept_once_the_live_version_has_its_name_again(store: VersionStore, state: Path) -> None:
    """Guards the disk: while the link leads to nothing no removed version is swept, and it leads to one again."""
    hide_as_a_killed_removal_does(store, state, clearing=False)
    switch_by_hand(store)
    for name in (other := ".govma-removed-" + "f" * 16, unmarked := ".govma-removed-" + "e" * 16):
        (store.directory / name / "html").mkdir(parents=True)
    (store.directory / other).chmod(0o1700)
    lines: list[Event] = []
    remove.clear(store, state, Reporter(lines.append))
    assert whole(store.directory / OLD)
    assert hidden(store) == [unmarked]
    told = [(line.level, line.text) for line in lines if isinstance(line, LogLine)]
    assert [level for level, _ in told] == ["warning", "warning", "info"]
    assert "is back: current-version leads to it by now" in told[0][1]
    assert f"{store.directory / unmarked} is named like a leftover" in told[1][1]
    assert told[2][1] == f"Removed {other}, what was left of a version that was being removed."


def test_only_our_own_pages_are_removed_from_the_versions(store: VersionStore, state: Path, tmp_path: Path) -> None:
    """Guards the pages of the CMS, and what a link leads to."""
    probe = "govma-probe-" + "0" * 32 + ".php"
    html = store.directory / OLD / "html"
    for name in (probe, f"{probe}.bak", "govma-probe-1.php"):
        (html / name).touch()
    (html / probe.replace("0", "1")).mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / probe).touch()
    (store.directory / "data-build--2023-01-01-00h00m00s").mkdir()
    (store.directory / "data-build--2023-01-01-00h00m00s/html").symlink_to(elsewhere)
    remove.clear(store, state, Reporter(lambda event: None))
    assert sorted(path.name for path in html.glob("govma-*")) == [
        f"{probe}.bak",
        "govma-probe-1.php",
        probe.replace("0", "1"),
    ]
    assert (elsewhere / probe).exists()


@pytest.mark.parametrize(("number", "told"), [(1, "0"), (3, "0; 1; 2"), (4, "0; 1; 2; and 1 more")])
def test_of_many_problems_the_first_few_are_told(number: int, told: str) -> None:
    assert remove.first_few([str(n) for n in range(number)]) == told


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1]", b'{"directory":1,"version":2,"hidden":3}', b"\xff"])
def test_a_damaged_note_is_passed_over(store: VersionStore, state: Path, damage: bytes) -> None:
    (state / "removal.json").write_bytes(damage)
    assert Remover(store, state).take_up() == ""
    assert whole(store.directory / OLD)
