"""A disk that fails in the rename of the link, before or after it took effect: what is told is what is."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from govma_core.fs import safefs
from govma_core.promotion import promote
from govma_core.runs.launch import Requester, prepare_store, write_down
from govma_core.runs.runner import Runner
from govma_core.runs.store import RunRecord
from govma_core.settings import Settings
from govma_core.versions.history import History, Promotion
from govma_core.versions.holds import HoldStore
from govma_core.versions.manifest import ManifestStore
from govma_core.versions.marks import Mark, MarkStore
from govma_core.versions.store import POINTER
from tests.support.releases import NAMES, Releases
from tests.support.sites import Site

OLD, NEW = NAMES[:2]


@pytest.fixture(autouse=True)
def _handler() -> Iterator[None]:
    former = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, former)


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    releases = Releases(tmp_path / "site")
    releases.add(OLD, NEW, result="published")
    releases.record(NEW, commit="b" * 40)
    releases.live(NEW)
    return releases


def run(settings: Settings, operation: str, **arguments: Any) -> RunRecord:
    """Have a run in this process; give its record."""
    store = prepare_store(settings)
    record = write_down(store, settings, operation, arguments, Requester("ana", "test"))
    Runner(store, record.id).execute()
    return store.read(record.id)


def failing(monkeypatch: pytest.MonkeyPatch, when: str, directory: Path) -> None:
    """Have the rename of the link raise before or after it is done, or the sync of its directory after it."""
    rename, fsync = os.rename, os.fsync

    def renamed(src: Any, dst: Any, **more: Any) -> None:
        if dst == POINTER and when == "before":
            raise OSError(errno.EIO, "Input/output error")
        rename(src, dst, **more)
        if dst == POINTER and when == "after":
            raise OSError(errno.EIO, "Input/output error")

    def synced(fd: int) -> None:
        if when == "sync" and os.readlink(f"/proc/self/fd/{fd}") == str(directory):
            raise OSError(errno.EIO, "Input/output error")
        fsync(fd)

    monkeypatch.setattr(os, "rename", renamed)
    monkeypatch.setattr(os, "fsync", synced)


def said_of(releases: Releases, version: str) -> tuple[bool, list[str]]:
    holds = HoldStore(releases.state).read().commits
    return version in MarkStore(releases.state).read(), [hold.commit for hold in holds]


@pytest.mark.parametrize("operation", ["promote", "rollback"])
def test_a_link_that_could_not_be_switched_is_told_and_the_next_run_switches_it(
    releases: Releases, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    MarkStore(releases.state).write(Mark(OLD, "bad", "slow", "rui", 1.0, "earlier"))
    with monkeypatch.context() as patch:
        failing(patch, "before", releases.directory)
        record = run(releases.settings, operation, version=OLD)
    assert (record.state, record.exit_code, record.version, record.version_before) == ("failed", 1, OLD, NEW)
    assert record.message == f"{releases.directory / POINTER} could not be switched: Input/output error."
    assert releases.store.pointer().version == NEW
    assert History(releases.state).entries() == []
    assert said_of(releases, NEW) == (False, [])
    assert said_of(releases, OLD) == (True, []), "it is not forgiven what did not go live"
    assert releases.hidden() == []
    assert run(releases.settings, operation, version=OLD).state == "ok"
    assert releases.store.pointer().version == OLD


@pytest.mark.parametrize("when", ["after", "sync"])
@pytest.mark.parametrize("operation", ["promote", "rollback"])
def test_a_link_that_was_switched_in_spite_of_an_error_is_told_as_switched(
    releases: Releases, operation: str, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    MarkStore(releases.state).write(Mark(OLD, "bad", "slow", "rui", 1.0, "earlier"))
    with monkeypatch.context() as patch:
        failing(patch, when, releases.directory)
        record = run(releases.settings, operation, version=OLD)
    assert (record.state, record.exit_code, record.version, record.version_before) == ("ok", 0, OLD, NEW)
    assert releases.store.pointer().version == OLD
    (entry,) = History(releases.state).entries()
    assert isinstance(entry, Promotion), "nobody was asked, so that there is no result"
    assert (entry.version, entry.previous, entry.how, entry.run) == (OLD, NEW, operation, record.id)
    left = operation == "rollback"
    assert said_of(releases, NEW) == (left, ["b" * 40] if left else [])
    assert said_of(releases, OLD)[0] is False
    assert releases.hidden() == []
    assert run(releases.settings, "promote", version=NEW).state == "ok"
    assert releases.store.pointer().version == NEW


@pytest.mark.parametrize("target", ["/etc", "data-build--gone"])
def test_a_link_that_somebody_had_set_elsewhere_is_told_when_it_is_replaced(releases: Releases, target: str) -> None:
    (releases.directory / POINTER).unlink()
    (releases.directory / POINTER).symlink_to(target)
    promote.run(releases.context(), version=OLD)
    assert releases.store.pointer().version == OLD
    (line,) = releases.log("warning").splitlines()
    assert line.startswith("Before: ")
    assert target in line


def test_a_link_that_was_not_there_is_made_without_a_word_about_it(releases: Releases) -> None:
    (releases.directory / POINTER).unlink()
    promote.run(releases.context(), version=OLD)
    assert releases.store.pointer().version == OLD
    assert releases.log("warning") == ""


@pytest.mark.parametrize("takes_effect", [False, True])
def test_a_version_whose_rename_fails_is_whole_or_missing(
    site: Site, takes_effect: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the version under its name without a manifest, and the manifest without a version."""
    before, there = site.current.name, os.listdir(site.settings.versions_dir)
    rename = safefs._renameat2

    def renamed(src: str, dst: str, *more: Any) -> None:
        is_version = dst.startswith("data-build--")
        if takes_effect or not is_version:
            rename(src, dst, *more)
        if is_version:
            raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(safefs, "_renameat2", renamed)
        record = run(site.settings, "deploy")
    assert (record.state, record.exit_code) == ("failed", 1)
    assert f"versions_dir ({site.settings.versions_dir})" in record.message
    assert "Input/output error" in record.message
    assert site.current.name == before
    versions = sorted(set(os.listdir(site.settings.versions_dir)) - set(there))
    assert len(versions) == takes_effect
    records = [path.name for name in ("versions", "contents") for path in (site.settings.state_dir / name).iterdir()]
    assert records == [f"{name}.{end}" for end in ("json", "json.z") for name in versions]
    assert all(version.complete for version in site.store.versions())
    assert all(ManifestStore(site.settings.state_dir).read(name) for name in versions)
    outcome = run(site.settings, "deploy")
    assert outcome.state == "ok", outcome.message
    assert site.current.name == outcome.version
