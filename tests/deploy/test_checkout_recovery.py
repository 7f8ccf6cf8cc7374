"""Moves of the checkout that a power cut interrupts: the next run finds it clean, and nothing of a person's is lost."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from govma_core.building.work_dir import ROLE
from govma_core.deploy.checkout_recovery import noted_move
from govma_core.deploy.source import Checkout, recover
from govma_core.errors import SourceError
from govma_core.events import Event, LogLine
from govma_core.fs import claims, jsonfile
from govma_core.reporting import Reporter, silent
from govma_core.settings import Settings, load
from tests.deploy.test_source import git, take
from tests.support.sample import SampleSite, create_sample
from tests.support.waiting import wait_for

NEW = "data/html/new.bin"
CHANGED = "data/html/robots.txt"
LINK = "data/html/latest.bin"
CONTENT = "".join(f"{number}\n" for number in range(100_000))


class Cut(Exception):
    """Stands for the power cut."""


@pytest.fixture
def sample(tmp_path: Path) -> SampleSite:
    site = create_sample(tmp_path / "site")
    site.state_dir.mkdir(exist_ok=True)
    return site


@pytest.fixture
def settings(sample: SampleSite) -> Settings:
    return load({}, file=sample.config_file).settings


@pytest.fixture
def earlier_commit(sample: SampleSite, settings: Settings) -> str:
    """Have a move that was cut right after git was done; give the commit before it."""
    (sample.developer / LINK).symlink_to("new.bin")
    git(sample.developer, "add", LINK)
    sha = sample.commit({NEW: CONTENT, CHANGED: CONTENT}, "Muda")
    before = git(settings.source_dir, "rev-parse", "HEAD")
    git(settings.source_dir, "fetch", "-q")
    with (
        closing(Checkout(settings, silent())) as checkout,
        suppress(Cut),
        noted_move(settings, checkout._git, silent(), sha),
    ):
        git(settings.source_dir, "checkout", "-q", "-B", "main", sha)
        raise Cut
    assert (settings.state_dir / "checkout-move.json").exists()
    return before


def lines_of_recovery(settings: Settings) -> list[str]:
    """Recover the checkout, and return the lines of the log."""
    events: list[Event] = []
    recover(settings, Reporter(events.append))
    return [event.text for event in events if isinstance(event, LogLine)]


def damage(path: Path, kind: str) -> None:
    whole = path.read_bytes()
    if kind == "gone":
        path.unlink()
    elif kind == "zeros":
        path.write_bytes(whole[:70_000] + bytes(len(whole) - 70_000))
    else:
        path.write_bytes(whole[: 300_000 if kind == "cut short" else 0])


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("kind", ["empty", "cut short", "zeros", "gone"])
def test_files_that_did_not_come_to_the_disk_are_checked_out_again(
    settings: Settings, earlier_commit: str, kind: str, index: bool
) -> None:
    for path in (NEW, CHANGED):
        damage(settings.source_dir / path, kind)
    if not index:
        (settings.source_dir / ".git/index").write_bytes(b"")
    (line,) = lines_of_recovery(settings)
    assert line.startswith("A move of the checkout to another commit was interrupted. Files put right: 2.")
    assert git(settings.source_dir, "status", "--porcelain") == ""
    assert (settings.source_dir / NEW).read_text() == (settings.source_dir / CHANGED).read_text() == CONTENT
    assert not (settings.state_dir / "checkout-move.json").exists()
    assert lines_of_recovery(settings) == []


@pytest.mark.parametrize("kind", ["whole", "empty", "cut short"])
def test_files_of_a_commit_that_the_branch_did_not_come_to_are_taken_back(
    settings: Settings, earlier_commit: str, kind: str
) -> None:
    git(settings.source_dir, "update-ref", "refs/heads/main", earlier_commit)
    if kind != "whole":
        damage(settings.source_dir / NEW, kind)
    lines_of_recovery(settings)
    assert git(settings.source_dir, "status", "--porcelain") == ""
    assert not any(os.path.lexists(settings.source_dir / path) for path in (NEW, LINK))
    with closing(Checkout(settings, silent())) as checkout:
        take(checkout)
    assert (settings.source_dir / NEW).read_text() == CONTENT


def test_what_a_person_wrote_meanwhile_is_in_the_stash_or_refused_by_name(
    settings: Settings, earlier_commit: str
) -> None:
    (settings.source_dir / CHANGED).write_text("Allow: /")
    (settings.source_dir / "package.json").write_text("")
    (settings.source_dir / "notes.txt").write_text("")
    (line,) = lines_of_recovery(settings)
    assert "Files put right: 1." in line
    assert git(settings.source_dir, "show", f"stash@{{0}}:{CHANGED}") == "Allow: /"
    assert (settings.source_dir / CHANGED).read_text() == CONTENT
    with closing(Checkout(settings, silent())) as checkout:
        sentence = checkout.changes()
    assert re.search(r"(?s)package\.json.*notes\.txt", sentence)
    assert CHANGED not in sentence


@pytest.mark.parametrize("kind", ["fifo", "link", "folder is a link", "directory"])
def test_what_is_no_file_any_more_is_neither_waited_for_nor_followed(
    settings: Settings, earlier_commit: str, tmp_path: Path, kind: str
) -> None:
    outside, there = tmp_path / "outside", settings.source_dir / CHANGED
    outside.mkdir()
    (outside / there.name).write_text(CONTENT[:1000])
    if kind == "folder is a link":
        there.parent.rename(tmp_path / "html")
        there.parent.symlink_to(outside)
    else:
        there.unlink()
        {"fifo": os.mkfifo, "link": lambda path: path.symlink_to(outside / path.name), "directory": Path.mkdir}[kind](
            there
        )
    lines_of_recovery(settings)
    assert (outside / there.name).read_text() == CONTENT[:1000]
    with closing(Checkout(settings, silent())) as checkout:
        assert ("is not clean" in checkout.changes()) == (kind not in ("link", "directory"))


def test_locks_of_before_the_boot_are_removed_and_no_others(settings: Settings) -> None:
    directory = settings.source_dir / ".git"
    names = ("index.lock", "refs/heads/main.lock", "HEAD.lock", "modules/a/b/refs/remotes/origin/main.lock")
    old = [directory / name for name in names]
    young = directory / "refs/remotes/origin/main.lock"
    for path in (*old, young):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    for path in old:
        os.utime(path, (booted - 5, booted - 5))
    lines_of_recovery(settings)
    assert [path.exists() for path in (*old, young)] == [False, False, False, False, True]


def test_an_edit_that_git_was_not_to_see_is_refused_again_and_again(sample: SampleSite, settings: Settings) -> None:
    git(settings.source_dir, "update-index", "--assume-unchanged", CHANGED)
    (settings.source_dir / CHANGED).write_text("Allow: /")
    sample.commit({CHANGED: "Disallow: /"}, "Muda")
    for _ in range(2):
        assert lines_of_recovery(settings) == []
        with closing(Checkout(settings, silent())) as checkout:
            checkout.fetch()
            target = checkout.next_deploy().target
            with pytest.raises(SourceError, match=r"robots\.txt"):
                checkout.follow(target)
    assert (settings.source_dir / CHANGED).read_text() == "Allow: /"


def test_what_git_cannot_check_out_is_put_right_at_once(sample: SampleSite, settings: Settings) -> None:
    (sample.developer / ".gitattributes").write_text("*.key filter=locked\n")
    git(sample.developer, "add", ".gitattributes")
    sample.commit({"data/html/a.key": "secret", CHANGED: "Disallow: /"}, "Chave")
    git(settings.source_dir, "config", "filter.locked.smudge", "false")
    git(settings.source_dir, "config", "filter.locked.required", "true")
    with closing(Checkout(settings, silent())) as checkout:
        with pytest.raises(SourceError, match="smudge filter locked failed"):
            take(checkout)
        assert git(settings.source_dir, "status", "--porcelain") == ""
        assert not (settings.state_dir / "checkout-move.json").exists()
        git(settings.source_dir, "config", "filter.locked.smudge", "cat")
        take(checkout)
    assert (settings.source_dir / "data/html/a.key").read_text() == "secret"


def test_the_lock_of_a_git_that_was_killed_in_a_move_is_removed(settings: Settings, earlier_commit: str) -> None:
    lock = settings.source_dir / ".git/index.lock"
    lock.touch()
    damage(settings.source_dir / NEW, "cut short")
    lines_of_recovery(settings)
    assert not lock.exists()
    assert git(settings.source_dir, "status", "--porcelain") == ""


def test_a_git_that_outlives_its_run_is_waited_for(settings: Settings, earlier_commit: str) -> None:
    lock = settings.source_dir / ".git/index.lock"
    slow = [
        "git",
        "-c",
        "alias.move=!touch .git/index.lock; sleep 1.5; echo $? > .git/ended; rm .git/index.lock",
        "move",
    ]
    with subprocess.Popen(slow, cwd=settings.source_dir):
        wait_for(lock.exists, "git works")
        lines_of_recovery(settings)
        assert (settings.source_dir / ".git/ended").exists()


@pytest.mark.parametrize("ours", [True, False])
def test_a_git_that_still_lays_out_the_commit_of_a_killed_run_is_ended(settings: Settings, *, ours: bool) -> None:
    folder = settings.work_dir / "data/module"
    folder.mkdir(parents=True)
    if ours:
        claims.claim(settings.work_dir, settings.state_dir, ROLE)
    # It waits for what would come from standard input.
    waiting = ["git", "hash-object", "--stdin"]
    with (
        subprocess.Popen(waiting, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as in_work_dir,
        subprocess.Popen(waiting, cwd=settings.source_dir, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as beside,
    ):
        lines_of_recovery(settings)
        assert in_work_dir.poll() == (-signal.SIGKILL if ours else None)
        assert beside.poll() is None


def test_a_move_that_ends_leaves_no_note(sample: SampleSite, settings: Settings) -> None:
    sha = sample.commit({NEW: "new"}, "Muda")
    with closing(Checkout(settings, silent())) as checkout, noted_move(settings, checkout._git, silent(), sha):
        assert (settings.state_dir / "checkout-move.json").exists()
        git(settings.source_dir, "pull", "-q")
    assert not (settings.state_dir / "checkout-move.json").exists()


@pytest.mark.parametrize("is_former_note", [False, True])
def test_a_move_that_had_hardly_begun_is_put_right(
    sample: SampleSite, settings: Settings, *, is_former_note: bool
) -> None:
    """HEAD and the index are as before, and some files are not; by the note of this version and of the one before."""
    before = git(settings.source_dir, "rev-parse", "HEAD")
    sha = sample.commit({NEW: CONTENT, CHANGED: CONTENT}, "Muda")
    git(settings.source_dir, "fetch", "-q")
    note = {"head": before} | ({} if is_former_note else {"target": sha})
    jsonfile.replace(settings.state_dir / "checkout-move.json", note)
    for path in (NEW, CHANGED):
        (settings.source_dir / path).write_text(CONTENT[:1000])
    (line,) = lines_of_recovery(settings)
    assert "Files put right: 2." in line
    assert git(settings.source_dir, "status", "--porcelain") == ""
    assert git(settings.source_dir, "rev-parse", "HEAD") == before
