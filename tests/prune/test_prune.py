"""Prune on real trees: what it removes and frees, what it leaves whole, and how a cancelled or failed one ends."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from govma_core.context import Context
from govma_core.disk import usage
from govma_core.errors import GovmaError, RefusedError, RunCancelled, UsageError
from govma_core.events import Event, LogLine
from govma_core.prune import plan, prune
from govma_core.reporting import Reporter
from govma_core.versions.history import History, Promotion
from govma_core.versions.marks import PinStore
from tests.support.engine import Engine
from tests.support.mounts import file_system_in_a_file, small_file_system
from tests.support.releases import NAMES, Releases, name_at
from tests.support.rights import as_root
from tests.support.sleeper import sleeping


def snapshot(directory: Path) -> dict[str, tuple[int, int]]:
    stats = {str(path): path.lstat() for path in directory.rglob("*")}
    return {path: (info.st_ino, info.st_mtime_ns) for path, info in stats.items()}


def test_the_last_good_ones_stay_and_each_line_says_why(releases: Releases) -> None:
    releases.record(NAMES[0])
    releases.record(NAMES[7])
    outcome = prune.run(releases.context())
    assert releases.there() == NAMES[3:8]
    assert all(releases.whole(name) for name in NAMES[3:8])
    assert list(releases.stages()) == ["preflight", "plan", "remove"]
    assert outcome.details["removed"] == NAMES[:3]
    log = releases.log()
    for name in NAMES[:3]:
        assert f"remove {name}  older than the latest 5 good versions; frees " in log
    assert f"keep   {NAMES[7]}  live; good, 1 of the last 5" in log
    assert "Removed: 3 versions" in outcome.message
    assert releases.manifests.read(NAMES[0]) is None
    assert releases.manifests.read(NAMES[7]) is not None
    assert releases.hidden() == []
    assert not (releases.state / "removal.json").exists()


def test_again_there_is_nothing_to_remove(releases: Releases) -> None:
    prune.run(releases.context())
    before = snapshot(releases.directory)
    outcome = prune.run(releases.context())
    assert releases.stages()["remove"].outcome == "skipped"
    assert outcome.details["removed"] == []
    assert snapshot(releases.directory) == before


def test_the_plan_changes_nothing_and_is_what_a_prune_does(releases: Releases) -> None:
    before = snapshot(releases.directory)
    planned = prune.plan(releases.context(), keep=2)
    assert snapshot(releases.directory) == before
    assert prune.estimate(releases.context()) == prune.plan(releases.context()).frees > 0
    outcome = prune.run(releases.context(), keep=2)
    assert outcome.details["versions"] == planned.as_dict()["versions"]
    assert outcome.details["account"] == planned.frees


def test_only_the_confirmed_versions_are_removed(releases: Releases) -> None:
    context = releases.context()
    removals = prune.plan(context, keep=1).removals
    assert len(removals) > 1
    confirmed = removals[0].name
    outcome = prune.run(context, keep=1, only=[confirmed, "another"])
    assert outcome.details["removed"] == [confirmed]
    reasons = {version["name"]: version["reasons"] for version in outcome.details["versions"] if version["keep"]}
    assert all(reasons[other.name] == ["it was not in the confirmed plan"] for other in removals[1:])


def test_keeping_by_age_counts_from_now(releases: Releases) -> None:
    releases.flags["keep_younger"] = "3d"
    releases.flags["keep_versions"] = 1
    day = 86_400
    names = [name_at(releases.clock - age * day) for age in (10, 4, 2.9, 1)]
    releases.add(*names)
    releases.live(names[-1])
    prune.run(releases.context())
    # Without a history the version before the live one counts as live before.
    assert releases.there() == names[2:]
    releases.add(names[1])
    prune.run(releases.context(), older_than="5d")
    assert releases.there() == names[1:]
    prune.run(releases.context(), older_than="12h")
    assert releases.there() == names[2:]


def test_the_target_of_a_rollback_and_a_pinned_version_are_kept(releases: Releases) -> None:
    history = History(releases.state)
    history.append(Promotion(1.0, NAMES[1], "", "deploy", "ana", "r1"))
    history.append(Promotion(2.0, NAMES[7], NAMES[1], "deploy", "ana", "r2"))
    PinStore(releases.state).pin(NAMES[2], "rui", "audit", 3.0)
    prune.run(releases.context(), keep=1)
    assert releases.there() == [NAMES[1], NAMES[2], NAMES[7]]
    assert f"{NAMES[1]}  was live before" in releases.log()
    assert "pinned by rui: audit" in releases.log()


def test_which_versions_were_live_is_in_the_history_and_without_one_deploy_sh_made_them_so(releases: Releases) -> None:
    """Guards a site that was taken over from deploy.sh: versions that were only tried push none of its own out."""
    for name in NAMES[5:8]:
        releases.record(name)
    releases.live(NAMES[4])
    assert [d.name for d in prune.plan(releases.context(), keep=3).removals] == NAMES[:2]
    releases.live(NAMES[7])
    assert [d.name for d in prune.plan(releases.context(), keep=3).removals] == NAMES[:5]
    History(releases.state).append(Promotion(1.0, NAMES[7], NAMES[4], "deploy", "ana", "r1"))
    prune.run(releases.context(), keep=3)
    assert releases.there() == [*NAMES[3:5], NAMES[7]]
    assert f"remove {NAMES[6]}  never live, and others are newer" in releases.log()


def test_deploys_of_the_same_push_no_other_content_out(releases: Releases) -> None:
    history = History(releases.state)
    for number, name in enumerate(NAMES[:8]):
        releases.record(name, commit="bad" if number > 3 else "")
        history.append(Promotion(number, name, NAMES[number - 1] if number else "", "deploy", "ana", "r"))
    prune.run(releases.context(), keep=3)
    assert releases.there() == [NAMES[2], NAMES[3], NAMES[7]]
    assert f"keep   {NAMES[3]}  was live before; good, 2 of the last 3" in releases.log()


def test_failed_and_incomplete_versions_are_removed_and_do_not_count(releases: Releases) -> None:
    releases.record(NAMES[5], "failed")
    (releases.directory / NAMES[6] / "html").rename(releases.directory / NAMES[6] / "htm")
    prune.run(releases.context(), keep=2)
    assert releases.there() == [NAMES[4], NAMES[7]]


def test_entries_that_are_no_version_are_not_touched_nor_in_the_plan(releases: Releases, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("x")
    directory = releases.directory
    for name in (
        "hotfix",
        f"{NAMES[0]}.bak",
        "data-build--",
        "lost+found",
        ".mine",
        "data-build--2021-13-01-00h00m00s",
    ):
        (directory / name / "html").mkdir(parents=True)
    (directory / "data-build--2020-01-01-00h00m00s").write_text("a file")
    (directory / "data-build--2020-01-02-00h00m00s").symlink_to(outside)
    (directory / "notes.txt").write_text("x")
    odd = sorted(set(os.listdir(directory)) - set(NAMES))
    outcome = prune.run(releases.context(), keep=1)
    assert sorted(set(os.listdir(directory)) - set(NAMES)) == odd
    assert {version["name"] for version in outcome.details["versions"]} == set(NAMES[:8])
    assert (outside / "file").exists()


@pytest.mark.parametrize("kind", ["missing", "foreign", "dangling", "directory", "file"])
def test_nothing_is_removed_while_it_is_unknown_what_is_live(releases: Releases, kind: str) -> None:
    link = releases.directory / "current-version"
    link.unlink()
    if kind == "directory":
        link.mkdir()
    elif kind == "file":
        link.write_text("x")
    elif kind != "missing":
        link.symlink_to("/etc" if kind == "foreign" else "data-build--gone")
    with pytest.raises(RefusedError, match="Nothing is pruned"):
        prune.run(releases.context())
    with pytest.raises(RefusedError, match="Nothing is pruned"):
        prune.plan(releases.context())
    assert prune.estimate(releases.context()) == 0
    assert releases.there() == NAMES[:8]


def test_a_directory_of_an_odd_name_may_be_live(releases: Releases) -> None:
    (releases.directory / NAMES[0]).rename(releases.directory / "hotfix")
    releases.live("hotfix")
    prune.run(releases.context(), keep=1)
    assert releases.there() == [NAMES[7]]
    assert (releases.directory / "hotfix/html").is_dir()


@pytest.mark.parametrize("wrong", [{"keep": 0}, {"keep": -1}, {"older_than": "soon"}, {"older_than": "30"}])
def test_invalid_arguments_are_refused_before_anything_is_removed(releases: Releases, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        prune.run(releases.context(), **wrong)
    assert releases.there() == NAMES[:8]


def sleeping_in(directory: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(["sleep", "600"], cwd=directory)
    # Popen returns when the program runs, which is after it has changed its directory.
    assert os.readlink(f"/proc/{process.pid}/cwd") == str(directory)
    return process


def test_a_version_in_use_is_kept_even_when_the_use_begins_after_the_plan(
    releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = [sleeping_in(releases.directory / NAMES[0] / "html")]
    make_plan = plan.make_plan

    def make_plan_and_use_a_version(*args: Any) -> plan.PrunePlan:
        prune_plan = make_plan(*args)
        processes.append(sleeping_in(releases.directory / NAMES[1] / "html"))
        return prune_plan

    monkeypatch.setattr(prune, "make_plan", make_plan_and_use_a_version)
    try:
        outcome = prune.run(releases.context())
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert releases.there() == [NAMES[0], NAMES[1], *NAMES[3:8]]
    assert f"keep   {NAMES[0]}  in use by sleep (pid {processes[0].pid}): working directory" in releases.log()
    assert f"{NAMES[1]} is left alone: in use by sleep" in releases.log("warning")
    assert outcome.details["removed"] == [NAMES[2]]
    assert list(outcome.details["spared"]) == [NAMES[1]]


@pytest.mark.parametrize("what", ["pin", "link", "switch"])
def test_what_is_pinned_linked_or_live_since_the_plan_is_kept(
    releases: Releases, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    carry_out = prune.carry_out

    def decide_otherwise(context: Context, prune_plan: plan.PrunePlan) -> prune.Result:
        if what == "pin":
            PinStore(releases.state).pin(NAMES[1], "rui", "", 1.0)
        elif what == "link":
            (releases.directory / "staging").symlink_to(f"{NAMES[1]}/html")
        else:
            releases.live(NAMES[1])
        return carry_out(context, prune_plan)

    monkeypatch.setattr(prune, "carry_out", decide_otherwise)
    outcome = prune.run(releases.context())
    assert releases.there() == [NAMES[1], *NAMES[3:8]]
    assert releases.whole(NAMES[1])
    assert releases.hidden() == []
    assert outcome.details["removed"] == [NAMES[0], NAMES[2]]
    why = {"pin": "it is pinned by now", "link": "in use by staging", "switch": "current-version leads to it by now"}
    assert outcome.details["spared"] == {NAMES[1]: why[what]}


def test_a_version_to_which_a_link_of_the_operator_leads_is_kept(releases: Releases) -> None:
    (releases.directory / "staging").symlink_to(NAMES[0])
    prune.run(releases.context(), keep=1)
    assert NAMES[0] in releases.there()
    assert "a link leads to it: staging" in releases.log()


def test_an_engine_that_does_not_answer_is_a_warning(
    releases: Releases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dead.sock").touch()
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/dead.sock")
    assert prune.estimate(releases.context()) == 0
    prune.run(releases.context())
    assert "Which containers use a version" in releases.log("warning")
    assert releases.there() == NAMES[3:8]


@as_root
@pytest.mark.usefixtures("docker_engine")
def test_a_version_that_a_running_container_has_mounted_is_kept(
    releases: Releases, docker_engine: Engine, busybox_image: str
) -> None:
    with sleeping(
        docker_engine,
        busybox_image,
        name=f"govma-keeps-{os.getpid()}",
        volumes={
            str(releases.directory / NAMES[0] / "html"): {"bind": "/site", "mode": "ro"},
            # The whole directory, as the web server has it: that uses no version in particular.
            str(releases.directory): {"bind": "/var/www/versions", "mode": "ro"},
        },
    ):
        prune.run(releases.context())
    assert releases.there() == [NAMES[0], *NAMES[3:8]]
    (line,) = [line for line in releases.log().splitlines() if NAMES[0] in line]
    assert f"the container govma-keeps-{os.getpid()}" in line


def test_a_cancellation_is_honoured_between_two_versions(releases: Releases) -> None:
    context = releases.context()
    cancellation = releases.cancellation

    def emit(event: Event) -> None:
        releases.events.append(event)
        if isinstance(event, LogLine) and event.text.startswith(f"removed {NAMES[0]}"):
            cancellation.request()

    stopping = dataclasses.replace(context, reporter=Reporter(emit, cancellation))
    with pytest.raises(RunCancelled):
        prune.run(stopping)
    assert releases.there() == NAMES[1:8]
    assert all(releases.whole(name) for name in NAMES[1:8])
    assert "1 of 3 were removed" in releases.log()
    assert releases.hidden() == []


def test_a_prune_that_can_remove_no_version_fails_and_says_why(
    releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prune, "current_users", lambda context, name: ["php (pid 1): open file"])
    with pytest.raises(GovmaError, match=r"None of 3 versions could be removed.*in use by php"):
        prune.run(releases.context())
    assert releases.there() == NAMES[:8]


@pytest.fixture(params=["tmpfs", "ext4"])
def own_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Yield the directory of a file system to which no other process writes."""
    place = tmp_path / "disk"
    is_tmpfs = request.param == "tmpfs"
    with small_file_system(place, "64m") if is_tmpfs else file_system_in_a_file(place, request.param, 64):
        yield place


@as_root
def test_the_account_of_freed_bytes_is_what_the_file_system_gains(own_disk: Path) -> None:
    """Guards the account: shared inodes become free only when the last of a set goes."""
    releases = Releases(own_disk / "site")
    releases.add(*NAMES[:8])
    releases.live(NAMES[7])
    releases.forget_shared()
    # Hard links among the versions that are removed, and with none that stays.
    for name in NAMES[1:4]:
        os.link(releases.directory / NAMES[0] / "system/user/0", releases.directory / name / "html/first")
    (releases.directory / NAMES[0] / "html/big").write_bytes(b"x" * 3_000_000)
    os.link(releases.directory / NAMES[0] / "html/big", releases.directory / NAMES[4] / "html/big")
    outcome = prune.run(releases.context(), keep=3)
    frees = {version["name"]: version["frees"] for version in outcome.details["versions"]}
    assert outcome.details["removed"] == NAMES[:5]
    assert outcome.details["freed"] == outcome.details["account"] == sum(frees.values()) > 3_000_000
    assert frees[NAMES[4]] > 3_000_000 > frees[NAMES[0]]
    assert all(releases.whole(name) for name in NAMES[5:8])


def test_versions_that_cannot_be_priced_are_removed_all_the_same(
    releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **more: Any) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(plan, "account", fail)
    monkeypatch.setattr(usage, "refresh", lambda context: None)
    assert prune.estimate(releases.context()) == 0
    prune.run(releases.context())
    assert releases.there() == NAMES[3:8]
    assert "How much would be freed is not known" in releases.log("warning")
