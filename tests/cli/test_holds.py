"""hold, release and history as a user calls them, and what a held deploy says."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.support.command import Command, environment
from tests.support.rights import as_root
from tests.support.sample import LEGACY_VERSION, SampleSite


def test_held_deploys_exit_with_5_until_they_are_released_or_forced(command: Command) -> None:
    result = command.run("hold", "election", "night", "--until", "2h")
    assert (result.code, "election night (until " in result.out) == (0, True), result.err
    assert "earlier hold" not in result.out
    again = command.run("hold", "election", "night", "--until", "3h")
    assert "replaces an earlier hold: Deploys are held by root" in again.out
    refusal = command.run("deploy")
    assert refusal.code == 5
    pending = command.run("pending")
    assert (pending.code, pending.err.removeprefix("govma-console: ") in refusal.err) == (5, True)
    as_json = command.run("pending", "--json")
    assert (as_json.code, "election night" in as_json.json["refusal"]) == (5, True)
    for sentence in ("held by root since", "election night", " release` ends the hold", "--force"):
        assert sentence in refusal.err
    assert "held             Deploys are held by root" in command.run("status").out
    assert command.run("status", "--json").json["holds"]["by_hand"]["reason"] == "election night"
    assert command.run("deploy", "--force").code == 0
    assert next(command.runs.records()).arguments["force"] is True
    assert "Released: Deploys are held by root" in command.run("release").out
    assert (command.run("release").code, command.run("release", "--json").json) == (0, {"released": []})
    assert command.run("deploy").code == 0


@pytest.mark.parametrize("reason", ["", " ", "x" * 256])
def test_a_reason_is_as_long_as_over_http(command: Command, reason: str) -> None:
    refusal = command.run("hold", reason)
    assert (refusal.code, "1 to 255 printable characters" in refusal.err) == (2, True)
    assert command.run("status", "--json").json["holds"]["by_hand"] is None


def test_after_a_rollback_the_list_the_history_and_the_status_tell(command: Command, sample: SampleSite) -> None:
    version = command.run("deploy").out.strip()
    assert command.run("rollback").code == 0
    listed = {version["name"]: version for version in command.run("list", "--json").json["versions"]}
    assert (listed[version]["state"], listed[version]["mark"]["reason"]) == ("bad", f"rolled back to {LEGACY_VERSION}")
    assert listed[LEGACY_VERSION]["mark"] is None
    (hold,) = command.run("status", "--json").json["holds"]["commits"]
    assert (hold["commit"], hold["version"]) == (listed[version]["manifest"]["commit"], version)
    assert command.run("deploy").code == 5
    rows = command.run("history").out.splitlines()
    assert [row.split()[0] for row in rows] == ["VERSION", LEGACY_VERSION, version, LEGACY_VERSION]
    assert "still live" in rows[1]
    assert "rollback" in rows[1]
    assert "set by hand" in rows[3]
    (last,) = command.run("history", "-n", "1", "--json").json
    assert (last["version"], last["until"], last["previous"], last["by"]) == (LEGACY_VERSION, None, version, "root")
    assert command.run("release", "0123").code == 5
    assert command.run("release", "").code == 2
    assert command.run("deploy", "--force").code == 0
    assert command.run("status", "--json").json["holds"]["commits"] == []
    assert command.run("rollback").code == 0
    assert hold["commit"][:9] in command.run("release", hold["commit"][:7]).out
    assert command.run("deploy").code == 0


def test_a_rollback_with_keep_mark_marks_nothing(command: Command) -> None:
    command.run("deploy")
    assert command.run("rollback", "--keep-mark").code == 0
    assert not (command.state_dir / "marks").exists()
    assert not (command.state_dir / "holds").exists()


@pytest.mark.parametrize(
    "wrong", [["hold", "--until", "2020-01-01"], ["hold", "--until", "soon"], ["history", "-n", "0"]]
)
def test_what_makes_no_sense_is_said(command: Command, wrong: list[str]) -> None:
    result = command.run(*wrong)
    assert result.code == 2
    assert "govma-console: " in result.err
    assert not (command.state_dir / "holds").exists()


@as_root
def test_only_who_may_write_the_state_holds_and_who_may_read_it_sees_it(command: Command, sample: SampleSite) -> None:
    assert command.run("hold", "freeze").code == 0
    for path in (command.state_dir, *command.state_dir.rglob("*")):
        os.chown(path, 33, 33)
    # As a group that may read it (log_group) finds it.
    command.state_dir.chmod(0o755)

    def powerless(*arguments: str) -> subprocess.CompletedProcess[str]:
        # Root's name without root's rights: another user may not even have the way to this Python.
        drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
        line = [*drop, *command.line(*arguments)]
        return subprocess.run(line, env=environment(), capture_output=True, text=True, check=False)

    for name in ("hold", "release"):
        result = powerless(name)
        assert (result.returncode, "cannot be written by this user. Run as root." in result.stderr) == (5, True), (
            result.stderr
        )
    assert "freeze" in powerless("status").stdout
    assert os.listdir(command.state_dir / "holds") == ["all.json"]
