"""What the next run does with a removal that was killed in the middle."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from govma_core.fs import jsonfile, safefs
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


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1]", b'{"directory":1,"version":2,"hidden":3}', b"\xff"])
def test_a_damaged_note_is_passed_over(store: VersionStore, state: Path, damage: bytes) -> None:
    (state / "removal.json").write_bytes(damage)
    assert Remover(store, state).take_up() == ""
    assert whole(store.directory / OLD)
