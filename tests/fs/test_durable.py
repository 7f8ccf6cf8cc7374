"""What is said to be on the disk is: the content before it has its name, and the name in its directory after that."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from govma_console.server.tokens import Tokens
from govma_core.fs import claims, jsonfile, safefs
from govma_core.runs.store import RunStore
from govma_core.versions import env_file
from govma_core.versions.contents import ContentsStore
from govma_core.versions.history import History, Promotion
from govma_core.versions.holds import HoldStore
from govma_core.versions.manifest import Manifest, ManifestStore
from govma_core.versions.marks import Mark, MarkStore, PinStore
from tests.support.journal import Journal, is_official
from tests.support.sites import Site
from tests.support.upload_sites import guarded_site

NAME, SHA = "data-build--2021-09-03-00h03m29s", "a" * 40
_MANIFEST = Manifest(
    version=NAME, run="r", commit=SHA, subject="", author="", committed=0, ref="main", by="ana", origin="", started=0
)


def end_of_a_run(state: Path, details: str = "") -> None:
    store = RunStore(state)
    store.write_last(store.create("deploy", {"details": details}, "ana", "test", state="ok", finished=time.time()))


def end_of_a_run_without_its_room(state: Path) -> None:
    store = RunStore(state)
    record = store.create("deploy", {}, "ana", "test", key="asked for by this name", state="ok")
    (store.path(record.id) / ".last").unlink()
    store.write_last(record)


def another_env_file(state: Path) -> None:
    (state / "env").write_text("A=1\n")
    version, staging = state / NAME, state / "staging"
    for path in (version / "system/user/config", staging):
        path.mkdir(parents=True)
    with safefs.opened_root(version) as version_fd, safefs.opened_root(staging) as staging_fd:
        env_file.renew(state / "env", version_fd, staging_fd, None)


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (lambda state: ManifestStore(state).write(_MANIFEST), f"{NAME}.json"),
        (lambda state: ContentsStore(state).write(NAME, []), f"{NAME}.json.z"),
        (lambda state: MarkStore(state).write(Mark(NAME)), f"{NAME}.json"),
        (lambda state: PinStore(state).pin(NAME, "ana", "keep", 1.0), f"{NAME}.json"),
        (lambda state: HoldStore(state).hold("x", "ana", 1.0), "all.json"),
        (lambda state: HoldStore(state).hold_commit(SHA, NAME, "x", "ana", 1.0, "r"), f"{SHA}.json"),
        (lambda state: Tokens(state / "tokens").add("ci"), "tokens"),
        (lambda state: claims.claim(state, state, "versions-dir"), "versions-dir"),
        (another_env_file, ".env"),
        (end_of_a_run, "run.json"),
        (lambda state: end_of_a_run(state, "x" * (1 << 15)), "run.json"),
        (end_of_a_run_without_its_room, "run.json"),
    ],
)
def test_a_record_is_on_the_disk_when_it_is_written(
    tmp_path: Path, write: Callable[[Path], object], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(monkeypatch)
    write(tmp_path)
    # The run's beginning need not outlive a power cut: what is written last does.
    last = max(number for number, call in enumerate(journal.calls) if call.kind == "name")
    journal.calls = journal.calls[last - 1 :]
    assert journal.unsafe(lambda path: path.name == name) == ([name], [])


@pytest.mark.parametrize(
    ("name", "remove"),
    [
        (f"marks/{NAME}.json", lambda state: MarkStore(state).clear(NAME)),
        (f"pins/{NAME}.json", lambda state: PinStore(state).unpin(NAME)),
        (f"holds/{SHA}.json", lambda state: HoldStore(state).release()),
        (f"holds/{SHA}.json", lambda state: HoldStore(state).release_commit(SHA)),
    ],
)
def test_the_removal_of_a_record_is_synced(
    tmp_path: Path, name: str, remove: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    MarkStore(tmp_path).write(Mark(NAME))
    PinStore(tmp_path).pin(NAME, "ana", "keep", 1.0)
    HoldStore(tmp_path).hold_commit(SHA, NAME, "x", "ana", 1.0, "r")
    journal = Journal(monkeypatch)
    assert remove(tmp_path)
    path = tmp_path / name
    assert [(call.kind, call.path) for call in journal.calls] == [("unlink", path), ("fsync", path.parent)]
    assert list(path.parent.iterdir()) == []


def test_a_line_is_on_the_disk_with_the_name_of_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, history, path = Journal(monkeypatch), History(tmp_path), tmp_path / "history.jsonl"
    history.append(Promotion(1.0, NAME, "", "deploy", "ana", "r"))
    assert [(call.kind, call.path) for call in journal.calls] == [("fsync", path), ("fsync", tmp_path)]
    assert journal.calls[0].state == (path.stat().st_size, path.stat().st_mtime_ns)
    history.note("r", "proved", 2.0)
    assert [call.path for call in journal.calls[2:]] == [path]
    assert journal.calls[2].state == (path.stat().st_size, path.stat().st_mtime_ns)


def test_a_record_that_need_not_be_there_after_a_power_cut_waits_for_no_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(monkeypatch)
    RunStore(tmp_path).create("deploy", {}, "ana", "test")
    jsonfile.replace(tmp_path / "x", {}, durable=False)
    assert {call.kind for call in journal.calls if call.kind != "unlink"} == {"name"}


@pytest.mark.parametrize("policy", ["keep", "overwrite"])
def test_an_upload_is_on_the_disk_before_and_behind_its_name(
    tmp_path: Path, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with guarded_site(tmp_path) as site:
        (site.tree / "sub").mkdir()
        (site.tree / "sub/new.png").write_text("repository")
        site.both("logo.png", "repository", "people's")
        journal = Journal(monkeypatch)
        site.run(policy)
        kept = [call.path for call in journal.calls if call.path.is_relative_to(site.kept) and call.kind == "name"]
        named = [call.path for call in journal.calls if call.path.is_relative_to(site.target) and call.kind == "name"]
        assert kept == ([site.kept / "logo.png"] if policy == "overwrite" else [])
        new, replaced = site.target / "sub/new.png", site.target / "logo.png"
        assert sorted(named) == ([replaced, new] if policy == "overwrite" else [new])
        for path in named:
            at = next(number for number, call in enumerate(journal.calls) if call.path == path)
            assert journal.calls[at - 1].kind == "syncfs"
        assert journal.calls[-1].kind == "syncfs"
        journal.calls.clear()
        site.run("keep")
        assert journal.calls == [], "where nothing is new nobody waits for the disk"


@pytest.mark.parametrize("what", ["file", "folder", "replaced"])
def test_whatever_is_new_among_the_uploads_is_on_the_disk_at_the_end(
    tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with guarded_site(tmp_path) as site:
        if what == "replaced":
            site.both("a", "repository", "people's")
        else:
            (site.tree / "a").mkdir() if what == "folder" else (site.tree / "a").touch()
        journal = Journal(monkeypatch)
        site.run("overwrite")
        assert journal.calls[-1].kind == "syncfs"
        names = [number for number, call in enumerate(journal.calls) if call.kind == "name"]
        assert len(journal.calls) - 1 > max(names, default=-1)


def test_a_copy_kept_on_another_file_system_is_synced_before_the_upload_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder, guarded_site(tmp_path) as site:
        elsewhere = Path(folder, "kept")
        site.both("logo.png", "repository", "people's")
        journal = Journal(monkeypatch)
        site.run("overwrite", kept=elsewhere)
        devices = [call.device for call in journal.calls if call.kind == "syncfs"]
        assert devices[0] == elsewhere.stat().st_dev != devices[1] == site.target.stat().st_dev
        assert [call.kind for call in journal.calls[:3]] == ["syncfs", "syncfs", "name"]


def test_a_deploy_and_a_rollback_leave_nothing_to_a_power_cut(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.sample.commit({"data/html/robots.txt": "x", "data/html/uploads/new.txt": "new"}, "Outra")
    journal = Journal(monkeypatch)
    outcome = site.deploy()
    version = outcome.version
    names, problems = journal.unsafe(lambda path: is_official(path, site.settings))
    assert problems == []
    order = [f"{version}.json.z", f"{version}.json", version, "current-version"]
    assert [name for name in names if name in order] == order
    # The checkout that was moved is put on the disk before the note about the move goes.
    note = site.settings.state_dir / "checkout-move.json"
    ends = [(call.kind, call.path) for call in journal.calls].index(("unlink", note))
    assert (journal.calls[ends - 1].kind, journal.calls[ends - 1].path) == ("syncfs", site.settings.source_dir)
    journal.calls.clear()
    site.rollback()
    names, problems = journal.unsafe(lambda path: is_official(path, site.settings))
    assert problems == []
    assert names == [f"{outcome.commit}.json", f"{version}.json", "current-version"]
