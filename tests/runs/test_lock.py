"""The lock where its note is missing or damaged, the disk read-only, or something else has its name."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from govma_core.errors import BusyError
from govma_core.runs.lock import Holder, hold_lock, lock_holder

HOLDER = Holder("20220102-030405-abcd", "deploy", "ana", 1.0)


def test_a_holder_without_a_note_is_told_as_some_run_and_a_note_that_is_gone_is_no_error(tmp_path: Path) -> None:
    """Guards the moment in which the note is written, and a state_dir without room for it."""
    with hold_lock(tmp_path, HOLDER):
        (tmp_path / "holder.json").unlink()
        with pytest.raises(BusyError, match="Another run is just starting or ending"), hold_lock(tmp_path, HOLDER):
            pass
        (tmp_path / "holder.json").mkdir()
    (tmp_path / "holder.json").rmdir()
    with hold_lock(tmp_path, HOLDER):
        assert (tmp_path / "holder.json").exists()
    assert not (tmp_path / "holder.json").exists()


@pytest.mark.parametrize("note", ['{"run": "r"}', '{"process": 1}', '{"process": {"pid": 1}}', "[]", "cut sho"])
def test_a_damaged_note_names_nobody(tmp_path: Path, note: str) -> None:
    (tmp_path / "holder.json").write_text(note)
    assert lock_holder(tmp_path) is None


@pytest.mark.parametrize("code", [errno.EROFS, errno.EIO])
def test_the_lock_is_held_on_a_disk_that_became_read_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Guards the rollback on a server whose kernel has found a fault of the disk, and one run at a time there."""
    (tmp_path / "lock").touch()
    real = os.open

    def read_only(path: Path, flags: int, *mode: int, **options: int) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(code, os.strerror(code), str(path))
        return real(path, flags, *mode, **options)

    monkeypatch.setattr(os, "open", read_only)
    if code == errno.EIO:
        with pytest.raises(OSError, match="Input/output"), hold_lock(tmp_path, HOLDER):
            pass
        return
    with hold_lock(tmp_path, HOLDER), pytest.raises(BusyError), hold_lock(tmp_path, HOLDER):
        pass


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"), hold_lock(tmp_path, HOLDER):
        pass
    assert not (tmp_path / "elsewhere").exists()
