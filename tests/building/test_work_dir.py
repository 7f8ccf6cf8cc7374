"""The work dir: how the note that it is ours comes about, and what is emptied and lent."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from govma_core.building import work_dir
from govma_core.errors import UnsafeTreeError
from tests.support.rights import as_root


def test_the_note_is_whole_at_any_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full while it is written must not make a work dir of ours somebody else's for ever."""
    work, state = tmp_path / "work", tmp_path / "state"
    state.mkdir()
    with work_dir.emptied(work, state):
        pass
    (work / "half").touch()
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", _full)
        with work_dir.emptied(work, state):
            pass
    (work / "half").touch()
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", _full)
        with pytest.raises(OSError, match="No space"):
            work_dir.emptied(tmp_path / "other", state).__enter__()
    assert work_dir.preflight(work, state) == []


_open = os.open


def _full(path: str | Path, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
    if flags & os.O_CREAT:
        raise OSError(28, "No space left on device")
    return _open(path, flags, mode, dir_fd=dir_fd)


@as_root
@pytest.mark.root
def test_what_is_mounted_in_the_work_dir_is_not_emptied(tmp_path: Path) -> None:
    work, state, people = tmp_path / "work", tmp_path / "state", tmp_path / "people"
    for folder in (work / "data/a", state, people):
        folder.mkdir(parents=True)
    (people / "photo").write_text("people's")
    subprocess.run(["mount", "--bind", people, work / "data/a"], check=True)
    try:
        with pytest.raises(UnsafeTreeError, match="mounted at 'a'"):
            work_dir.emptied(work, state).__enter__()
        assert (people / "photo").read_text() == "people's"
    finally:
        subprocess.run(["umount", work / "data/a"], check=True)
    with work_dir.emptied(work, state):
        assert os.listdir(work) == []
