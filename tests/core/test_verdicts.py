"""What is said against versions, and when it is taken back: proved or not, killed or not, tried again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from govma_core.errors import NotTriedError, RehearsalError, RevertedError, UnprovedError
from govma_core.live import candidate
from govma_core.operations import check, holding, promote, rollback, verdicts
from govma_core.operations.activation import Activation, Served
from govma_core.versions.marks import MarkStore
from tests.support.nesting import nest
from tests.support.releases import NAMES, Releases

OLD, NEW = NAMES[:2]
NOBODY_THERE = {"activation_url": "http://127.0.0.1:1", "activation_timeout": 1}


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    made = Releases(tmp_path / "site")
    made.add(OLD, NEW, result="published")
    made.live(NEW)
    return made


def marks(releases: Releases) -> dict[str, str]:
    return {name: mark.kind for name, mark in MarkStore(releases.state).read().items()}


def mark(releases: Releases, version: str, kind: Any = "bad") -> None:
    MarkStore(releases.state).mark(version, kind, "x", "ana", 1.0, "earlier")


def test_what_is_live_on_purpose_has_no_mark_though_nobody_proves_it(releases: Releases) -> None:
    """Guards the next rollback and deploy: the switch stands, and so does the will behind it."""
    releases.flags |= NOBODY_THERE
    mark(releases, OLD)
    with pytest.raises(UnprovedError):
        rollback.run(releases.context(), version=OLD)
    assert marks(releases) == {NEW: "bad"}
    with pytest.raises(UnprovedError):
        promote.run(releases.context(), version=NEW)
    assert marks(releases) == {}


def test_a_rollback_that_was_killed_before_its_switch_has_said_nothing(releases: Releases) -> None:
    context = releases.context()
    verdicts.hold_commit(context, NEW, "a" * 40, "rolled back")
    verdicts.mark_left(context, NEW, "rolled back")
    holding.never_left(releases.context(), "another run")
    assert marks(releases) == {NEW: "bad"}
    holding.never_left(releases.context(), context.run_id)
    assert marks(releases) == {}
    assert not (releases.state / "holds" / ("a" * 40 + ".json")).exists()


def test_a_rollback_that_was_killed_behind_its_switch_has_said_it(releases: Releases) -> None:
    context = releases.context()
    verdicts.mark_left(context, NEW, "rolled back")
    releases.live(OLD)
    holding.never_left(releases.context(), context.run_id)
    assert marks(releases) == {NEW: "bad"}


def test_a_version_that_is_good_after_all_is_not_marked_as_failed_any_more(releases: Releases, tmp_path: Path) -> None:
    """Guards rollbacks, which pass over marked versions: the database may have been down."""
    up = tmp_path / "up"
    releases.flags["rehearsal_command"] = f"test -e '{up}'"
    with pytest.raises(RehearsalError):
        check.run(releases.context(), version=OLD)
    assert marks(releases) == {OLD: "failed"}
    up.touch()
    check.run(releases.context(), version=OLD)
    assert marks(releases) == {}
    mark(releases, OLD, "bad")
    check.run(releases.context(), version=OLD)
    assert marks(releases) == {OLD: "bad"}


def test_what_is_live_is_not_marked_for_a_check(releases: Releases) -> None:
    releases.flags["rehearsal_command"] = "false"
    with pytest.raises(RehearsalError):
        check.run(releases.context(), version=NEW)
    assert marks(releases) == {}


@pytest.mark.parametrize("command", ["/no/such/program", "exec /etc/passwd", "kill -9 $$"])
def test_a_command_that_could_not_do_its_work_speaks_against_no_version(releases: Releases, command: str) -> None:
    releases.flags["rehearsal_command"] = command
    with pytest.raises(NotTriedError, match="could not do its work"):
        promote.run(releases.context(), version=OLD)
    assert marks(releases) == {}


def test_a_command_of_the_activation_that_fails_proves_nothing(releases: Releases) -> None:
    """Guards the green run: PHP may go on serving the version before."""
    releases.flags["activation_command"] = "exit 7"
    with pytest.raises(UnprovedError, match=r"activation\.command ended with exit code 7"):
        promote.run(releases.context(), version=OLD)


def test_what_fails_behind_the_way_back_does_not_hide_that_it_was_gone(
    releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the words: which version is live then, and that the other one is marked."""
    flags = {"on_unproved": "revert", "on_failure": "revert"}
    releases.flags |= {f"activation_{name}": value for name, value in flags.items()}
    releases.flags["activation_command"] = "true"

    def failing(self: Activation, version: str, *arguments: Any, **options: Any) -> Any:
        if version == OLD:
            return Served("x", failing="/ answered 500")
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Activation, "serve", failing)
    with pytest.raises(RevertedError, match=f"{NEW} is live again, but what followed failed: can't start"):
        promote.run(releases.context(), version=OLD)
    assert marks(releases) == {OLD: "bad"}
    assert releases.store.pointer().version == NEW


@pytest.mark.parametrize("what", ["sparse", "deep", "special"])
def test_what_the_cms_puts_in_its_way_does_not_fill_or_crash_the_rehearsal(releases: Releases, what: str) -> None:
    """Guards state_dir and the run: the web server's user can make a file of terabytes that takes no room."""
    cache = releases.directory / OLD / "system/user/cache"
    cache.mkdir(parents=True, exist_ok=True)
    if what == "sparse":
        with (cache / "large").open("wb") as file:
            file.truncate(1 << 42)
    elif what == "deep":
        nest(cache, 300)
    else:
        os.mkfifo(cache / "pipe")
    (cache / "file").write_text("x")
    root = releases.state / "rehearsal/copies"

    def copied() -> set[str]:
        given: Any = (releases.state, releases.directory, OLD)
        options: Any = {"link": "current-version", "writable": ["system/user/cache"], "owner": None}
        with candidate.staged(*given, **options, step=lambda: None):
            return set(os.listdir(root / "0"))

    if what == "special":
        assert copied() == {"file"}
    else:
        with pytest.raises(NotTriedError, match="system/user/cache of the version cannot be copied"):
            copied()
    assert not root.exists()
