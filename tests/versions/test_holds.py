"""Marks and holds on the disk: what two writers, a damaged file and a strange umask make of them."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from govma_core.errors import HeldError
from govma_core.versions.holds import HoldStore
from govma_core.versions.marks import Mark, MarkStore

NAME = "data-build--2022-01-01-00h00m00s"
B, C = "b" * 40, "c" * 40


@pytest.fixture
def holds(tmp_path: Path) -> HoldStore:
    return HoldStore(tmp_path)


def test_a_mark_stays_until_it_is_cleared_and_a_damaged_one_still_speaks(tmp_path: Path) -> None:
    marks = MarkStore(tmp_path)
    marks.write(Mark(NAME, "failed", "no\nanswer", "ana", 5.0, "run"))
    assert marks.read()[NAME].sentence() == "marked failed by ana: no answer"
    (tmp_path / "marks" / f"{NAME}.json").write_bytes(b'{"kind": ')
    assert marks.read()[NAME].sentence() == "marked bad"
    assert marks.clear(NAME)
    assert not marks.clear(NAME)
    assert marks.read() == {}


def test_a_hold_that_is_released_while_holds_are_read_is_not_damaged(
    holds: HoldStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards a deploy of the very moment in which a hold ends."""
    holds.hold("", "ana", 1.0)
    real = Path.iterdir

    def listed_and_released(path: Path) -> list[Path]:
        hold = list(real(path))
        (tmp_path / "holds/all.json").unlink()
        return hold

    monkeypatch.setattr(Path, "iterdir", listed_and_released)
    assert not holds.read()


def test_all_deploys_are_held_until_released_with_who_when_and_why(holds: HoldStore) -> None:
    holds.check(B)
    holds.hold("election\nnight", "ana", 1_700_000_000.0)
    with pytest.raises(HeldError, match=r"held by ana since 2023-11-1.*: election night\. .*release.*--force"):
        holds.check()
    with pytest.raises(HeldError):
        holds.check(B)
    assert [hold.by for hold in holds.release()] == ["ana"]
    holds.check(B)
    assert not holds.read()
    assert holds.release() == []


def test_a_hold_ends_by_itself_and_tells_until_when(holds: HoldStore) -> None:
    until = time.time() + 3600
    holds.hold("", "ana", 1.0, until)
    with pytest.raises(HeldError, match=r"\(until ") as raised:
        holds.check()
    assert raised.value.until == until
    holds.hold("", "ana", 1.0, time.time() - 1)
    holds.check()
    assert holds.release() == []


def test_commits_are_held_one_by_one_and_kept_all(holds: HoldStore) -> None:
    holds.hold_commit(B, NAME, "rolled back", "ana", 2.0, "r1")
    holds.hold_commit(C, NAME, "rolled back", "rui", 3.0, "r2")
    assert [hold.commit for hold in holds.read().commits] == [C, B]
    holds.check()
    holds.check("d" * 40)
    for commit in (B, C):
        with pytest.raises(HeldError, match=f"commit {commit[:9]} are held by .* newer commit"):
            holds.check(commit)
    assert [hold.by for hold in holds.release_commit(B)] == ["ana"]
    assert holds.release_commit(B) == []
    holds.check(B)
    holds.hold("", "ana", 4.0)
    assert len(holds.release()) == 2


@pytest.mark.parametrize("commit", ["", "all", "../x", "HEAD", "b" * 40 + "/"])
def test_what_is_no_commit_is_not_held_nor_released(holds: HoldStore, tmp_path: Path, commit: str) -> None:
    holds.hold("", "ana", 1.0)
    assert holds.hold_commit(commit, NAME, "", "ana", 1.0, "r") is None
    assert holds.release_commit(commit) == []
    assert os.listdir(tmp_path / "holds") == ["all.json"]


@pytest.mark.parametrize("content", [b"", b"\x00", b"[]", b'{"until": 1.0}', b'{"at": NaN, "until": NaN}'])
def test_a_damaged_hold_is_in_force_and_says_so(holds: HoldStore, tmp_path: Path, content: bytes) -> None:
    holds.hold_commit(B, NAME, "rolled back", "ana", 2.0, "r1")
    (tmp_path / "holds" / "all.json").write_bytes(content)
    (tmp_path / "holds" / f"{B}.json").write_bytes(content)
    with pytest.raises(HeldError, match="damaged"):
        holds.check()
    (tmp_path / "holds" / "all.json").unlink()
    with pytest.raises(HeldError, match=r"commit bbbbbbbbb are held: .*damaged"):
        holds.check(B)


def test_holds_that_cannot_be_read_hold(holds: HoldStore, tmp_path: Path) -> None:
    (tmp_path / "holds").write_text("somebody's file")
    with pytest.raises(HeldError, match="damaged"):
        holds.check()


def test_files_of_others_among_the_holds_hold_nothing_and_stay(holds: HoldStore, tmp_path: Path) -> None:
    """Guards a copy that an operator made of a hold, and what an editor leaves."""
    holds.hold_commit(B, NAME, "rolled back", "ana", 2.0, "r1")
    names = ["all-old.json", f"{C}.json.bak", f".{C}.json", "README", f"{C}~.json"]
    for name in names:
        (tmp_path / "holds" / name).write_text('{"at": 1.0}')
    assert [hold.commit for hold in holds.read().all] == [B]
    assert [hold.commit for hold in holds.release()] == [B]
    assert sorted(os.listdir(tmp_path / "holds")) == sorted(names)


def test_who_may_not_read_the_holds_is_not_told_that_deploys_are_held(
    holds: HoldStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards `status` of users outside log_group: a closed door is no damaged hold."""

    def denied(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    holds.hold("", "ana", 1.0)
    MarkStore(tmp_path).write(Mark(NAME))
    monkeypatch.setattr(Path, "iterdir", denied)
    with pytest.raises(PermissionError):
        holds.read()
    assert MarkStore(tmp_path).read() == {}


def test_a_directory_that_another_process_makes_at_the_same_moment_is_used(
    holds: HoldStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "holds").mkdir()
    answers = iter([False])
    monkeypatch.setattr(Path, "is_dir", lambda path: next(answers, True))
    holds.hold("", "ana", 1.0)
    assert holds.read()


def test_what_is_not_known_of_a_hold_is_left_out_of_its_sentence(holds: HoldStore, tmp_path: Path) -> None:
    holds.hold("", "", 1.0)
    (hold,) = holds.read().all
    assert re.fullmatch(r"Deploys are held by \? since 19\d\d-\d\d-\d\d \d\d:\d\d\.", hold.sentence())
    (tmp_path / "holds/all.json").write_text('{"at": 1e12, "until": 1e12, "by": 7, "reason": "x"}')
    (hold,) = holds.read().all
    assert hold.sentence() == "Deploys are held by ? since ?: x (until ?)."
    (tmp_path / "holds/all.json").write_text('{"at": 1e13, "by": "ana"}')
    assert holds.read().all[0].damaged, "no such moment"


def test_everybody_may_read_them_whatever_the_umask(holds: HoldStore, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        holds.hold("", "ana", 1.0)
        MarkStore(tmp_path).write(Mark(NAME, "bad", "", "ana", 1.0, "r"))
    finally:
        os.umask(before)
    for name in ("holds", "marks"):
        (file,) = (tmp_path / name).iterdir()
        assert ((tmp_path / name).stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o755, 0o644)
