"""prune, pin and unpin as a user calls them: what they print where, and exit codes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from govma_core.runs.store import RunStore
from govma_core.versions.marks import PinStore
from tests.support.command import Command
from tests.support.releases import NAMES, Releases
from tests.support.rights import as_root
from tests.support.waiting import wait_for


@pytest.fixture
def command(releases: Releases) -> Command:
    return Command(releases.config, releases.state)


def test_a_dry_run_prints_the_plan_and_removes_nothing(command: Command, releases: Releases) -> None:
    result = command.run("prune", "--dry-run", "--keep", "6")
    assert result.code == 0, result.err
    header, *rows, total = result.out.splitlines()
    assert header.split() == ["VERSION", "PLAN", "WHY", "FREES"]
    assert [(row.split()[0], row.split()[1]) for row in rows] == [
        *[(name, "keep") for name in NAMES[7:1:-1]],
        (NAMES[1], "REMOVE"),
        (NAMES[0], "REMOVE"),
    ]
    assert "older than the latest 6 good versions" in rows[-1]
    assert total.startswith("2 of 8 versions would be removed, ")
    assert releases.there() == NAMES[:8]
    assert RunStore(releases.state).ids() == []
    plan = command.run("prune", "--dry-run", "--keep", "6", "--json").json
    assert [version["name"] for version in plan["versions"] if not version["keep"]] == [NAMES[1], NAMES[0]]
    assert plan["frees"] == sum(version["frees"] for version in plan["versions"]) > 0


def test_prune_is_a_run_that_says_what_it_removes_and_prints_their_names(command: Command, releases: Releases) -> None:
    result = command.run("prune", "--keep", "6")
    assert result.code == 0, result.err
    assert result.out.splitlines() == NAMES[:2]
    assert f"remove {NAMES[0]}  older than the latest 6 good versions; frees" in result.err
    assert releases.there() == NAMES[2:8]
    (run,) = command.run("runs", "--json").json
    assert (run["operation"], run["state"], run["details"]["removed"]) == ("prune", "ok", NAMES[:2])
    record = command.run("prune", "--json").json
    assert record["details"]["removed"] == [NAMES[2]]
    assert record["details"]["account"] > 0


def test_a_prune_may_be_left_to_itself(command: Command, releases: Releases) -> None:
    result = command.run("prune", "--detach")
    assert result.code == 0
    record = wait_for(lambda: next((r for r in command.runs.records() if r.ended), None), "the run's end")
    assert record.id == result.out.strip()
    assert releases.there() == NAMES[3:8]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--keep", "0"], "at least one good version is kept"),
        (["--keep", "-3"], "at least one good version is kept"),
        (["--keep", "many"], "invalid int value"),
        (["--older-than", "soon"], "is not an age such as"),
        (["--older-than", ""], "is not an age such as"),
        (["--dry-run", "--detach"], "--dry-run starts no run"),
    ],
)
def test_wrong_values_are_usage_errors_before_a_run_is_started(
    command: Command, releases: Releases, arguments: list[str], sentence: str
) -> None:
    result = command.run("prune", *arguments)
    assert (result.code, sentence in result.err) == (2, True), result.err
    assert RunStore(releases.state).ids() == []
    assert releases.there() == NAMES[:8]


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_prune_is_refused_while_it_is_unknown_what_is_live(
    command: Command, releases: Releases, more: list[str]
) -> None:
    (releases.directory / "current-version").unlink()
    result = command.run("prune", *more)
    assert (result.code, "Nothing is pruned" in result.err) == (5, True), result.err
    assert releases.there() == NAMES[:8]


def test_an_operator_who_stands_in_a_version_does_not_keep_it(command: Command, releases: Releases) -> None:
    """Guards the parents of the run: the shell that a prune is called from."""
    line = " ".join(f"'{word}'" for word in command.line("prune"))
    subprocess.run(
        ["sh", "-c", f"cd '{releases.directory / NAMES[0]}' && (cd / && {line}); :"],
        check=True,
        capture_output=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])},
    )
    assert releases.there() == NAMES[3:8]


def test_a_pinned_version_stays_until_it_is_unpinned(command: Command, releases: Releases) -> None:
    pinned = command.run("pin", "2021-09-01", "--reason", "audit of\tthe ballot")
    assert (pinned.code, pinned.out.strip()) == (0, NAMES[0])
    (pin,) = PinStore(releases.state).read().values()
    assert (pin.version, pin.reason) == (NAMES[0], "audit of the ballot")
    assert pin.by
    row = next(line for line in command.run("list").out.splitlines() if NAMES[0] in line)
    assert row.endswith("pinned")
    listed = {version["name"]: version for version in command.run("list", "--json").json["versions"]}
    assert listed[NAMES[0]]["pin"]["reason"] == "audit of the ballot"
    assert listed[NAMES[1]]["pin"] is None
    assert command.run("prune").code == 0
    assert releases.there() == [NAMES[0], *NAMES[3:8]]
    assert command.run("unpin", "2021-09-01", "--json").json == {"version": NAMES[0], "unpinned": True}
    again = command.run("unpin", NAMES[0])
    assert (again.code, again.out.strip(), "is not pinned" in again.err) == (0, NAMES[0], True)
    assert command.run("prune").out.split() == [NAMES[0]]


def test_a_pin_of_a_version_that_is_gone_can_be_taken_away(command: Command, releases: Releases) -> None:
    PinStore(releases.state).pin("data-build--2019-01-01-00h00m00s", "ana", "", 1.0)
    assert command.run("unpin", "2019").out.strip() == "data-build--2019-01-01-00h00m00s"
    assert PinStore(releases.state).read() == {}


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["pin", "1999"], 5, "There is no version"),
        (["pin", ""], 2, "No version is named"),
        (["pin", "2021"], 2, "does not name one version"),
        (["pin", "hotfix"], 5, "prune never touches it"),
        (["pin"], 2, "VERSION"),
        (["unpin", "1999"], 5, "There is no version"),
        (["unpin", ""], 2, "No version is named"),
    ],
)
def test_what_cannot_be_pinned_is_a_sentence(
    command: Command, releases: Releases, arguments: list[str], code: int, sentence: str
) -> None:
    (releases.directory / "hotfix/html").mkdir(parents=True)
    result = command.run(*arguments)
    assert (result.code, sentence in result.err) == (code, True), result.err
    assert PinStore(releases.state).read() == {}


@as_root
def test_who_may_not_write_is_told_to_be_root(command: Command, releases: Releases, tmp_path: Path) -> None:
    unreadable = tmp_path / "closed"
    unreadable.mkdir(mode=0o700)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        drop = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"]
        return subprocess.run(
            [*drop, *command.line(*arguments)],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"DOCKER_HOST": f"unix://{unreadable}/docker.sock"},
        )

    pinned = run("pin", NAMES[0])
    assert (pinned.returncode, "Run as root" in pinned.stderr) == (5, True), pinned.stderr
    pruned = run("prune")
    assert (pruned.returncode, "Run as root" in pruned.stderr) == (5, True), pruned.stderr
    planned = run("prune", "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert planned.stdout.count("REMOVE") == 3
    assert "Which containers use a version" in planned.stderr
    assert releases.there() == NAMES[:8]
