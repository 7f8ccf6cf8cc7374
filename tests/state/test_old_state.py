"""What an earlier release wrote is read and carried on: settings, records, holds, pins, marks, caches, tokens.

The site in the archive was made, and its runs were killed, by the program of an earlier commit (make_old_state.py);
the outputs are what that program said about it. A change of a format has to keep the old one readable.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.state.old_site import OUTPUTS, TOO_LATE, Program, show, show_http, unpack

EXPECTED = json.loads(OUTPUTS.read_text())
VERSIONS = {version["name"]: version for version in EXPECTED["list"]["json"]["versions"]}
LIVE = EXPECTED["list"]["json"]["current"]
LEGACY = "data-build--2021-09-03-00h03m29s"
HOLD = EXPECTED["status"]["json"]["holds"]["commits"][0]
"""The hold that a rollback left: of the commit of the version that is marked bad."""


def prepare(folder: Path, variant: str = "deploy", *, held: bool = False) -> Program:
    """Unpack the site as a killed run left it, for the present program; only with `held` all deploys are held."""
    site = unpack(variant, folder / "old-site")
    if not held:
        (site / "state/holds/all.json").unlink()
    return Program((sys.executable, "-P", "-m", "govma_console"), site / "govma-console.toml")


def in_the_shape_of(expected: Any, output: Any) -> Any:
    """Return JSON without the keys that have been added since."""
    if isinstance(expected, dict) and isinstance(output, dict):
        return {key: in_the_shape_of(expected[key], value) for key, value in output.items() if key in expected}
    if isinstance(expected, list) and isinstance(output, list) and len(expected) == len(output):
        return [in_the_shape_of(*pair) for pair in zip(expected, output, strict=True)]
    return output


def hidden_names(program: Program) -> list[str]:
    return [path.name for path in (program.site / "www_versions").iterdir() if path.name.startswith(".")]


def live(program: Program) -> str:
    name = program.run("status", "--json").json["current"]
    assert isinstance(name, str)
    return name


def deploy(program: Program, *arguments: str) -> dict[str, Any]:
    """Deploy; the branch has a commit that is not live. Give the new version as `list` has it."""
    name = program.run("deploy", "--json", *arguments).json["version"]
    return next(each for each in program.run("list", "--json").json["versions"] if each["name"] == name)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return show(prepare(tmp_path_factory.mktemp("outputs"), held=True))


@pytest.mark.parametrize("name", [name for name in EXPECTED if name not in ("http", "rollback")])
def test_a_command_says_what_it_said_before(outputs: dict[str, Any], name: str) -> None:
    if name == "verify" and os.geteuid() != 0:
        # Unpacked by another user, all files have changed owners.
        for version in outputs[name]["json"]["versions"]:
            for kind in ("changes", "written"):
                version[kind] = [change for change in version[kind] if change["kind"] != "owner"]
            version["sound"] = not version["changes"]
    expected = EXPECTED[name]
    if name.startswith("pending"):
        # It ends as a deploy would by now, which is refused here by a hold.
        expected |= {"code": 5}
    assert in_the_shape_of(expected, outputs[name]) == expected


def test_the_server_knows_the_runs_the_counters_the_token_and_the_keys(tmp_path: Path) -> None:
    assert show_http(prepare(tmp_path, held=True)) == EXPECTED["http"]


def test_the_site_holds_what_is_to_be_read() -> None:
    states = {(record["operation"], record["state"]) for record in EXPECTED["runs"]["json"]}
    assert {("deploy", "interrupted"), ("deploy", "failed"), ("promote", "ok"), ("dedupe", "ok")} < states
    assert {("deploy", "ok"), ("rollback", "ok"), ("prune", "ok")} < states
    assert VERSIONS[HOLD["version"]]["mark"]["kind"] == "bad"
    assert VERSIONS[LEGACY]["manifest"] is None
    assert VERSIONS[LEGACY]["pin"]["reason"] == "the site of 2021"
    assert EXPECTED["rollback"] not in (LIVE, HOLD["version"])
    assert any(promotion["version"] not in VERSIONS for promotion in EXPECTED["history"]["json"])


def test_sizes_are_right_beside_the_former_account(tmp_path: Path) -> None:
    program = prepare(tmp_path)
    assert (program.site / "state/usage").is_dir()
    beside = program.run("usage", "--json").json
    assert not (program.site / "state/usage").exists(), "the former account is cleared away"
    (program.site / "state/usage.json").unlink()
    anew = program.run("usage", "--json").json

    assert beside["versions"] == anew["versions"]
    assert [version["name"] for version in anew["versions"]] == list(VERSIONS)


def test_the_deploy_after_a_killed_one_goes_well_and_clears_what_it_left(tmp_path: Path) -> None:
    program = prepare(tmp_path)
    killed = EXPECTED["runs"]["json"][1]
    assert (killed["state"], killed["stage"]) == ("interrupted", "publish")
    assert [name[:16] for name in hidden_names(program)] == [".govma-incoming-"]

    version = deploy(program)

    assert version["current"]
    assert version["manifest"]["run"] not in (record["id"] for record in EXPECTED["runs"]["json"])
    assert not hidden_names(program)
    assert program.run("runs", "--json").json[2]["id"] == killed["id"]
    assert program.run("runs", "--json").json[2]["finished"] > killed["created"]
    assert "an incomplete copy that an interrupted run left" in program.run("log").out


def test_assets_that_were_recorded_whole_are_built_once_more_by_steps(tmp_path: Path) -> None:
    program = prepare(tmp_path)
    assert deploy(program)["manifest"]["assets"] == "built"
    assert deploy(program)["manifest"]["assets"].startswith("reused from ")


def test_a_request_of_a_killed_run_is_served_by_a_new_one(tmp_path: Path) -> None:
    program = prepare(tmp_path)
    with program.server() as server:
        status, run = server.deploy(TOO_LATE)
        assert status == 202
        program.run("attach", run)

    assert run not in (record["id"] for record in EXPECTED["runs"]["json"])


def test_a_token_that_was_made_before_is_asked_for(tmp_path: Path) -> None:
    program = prepare(tmp_path, held=True)
    (program.site / "token").write_text("another\n")
    with program.server() as server:
        assert server.ask("/api/v1/runs", {"operation": "rollback"})[0] == 401


def test_a_hold_by_hand_stops_a_deploy(tmp_path: Path) -> None:
    refused = prepare(tmp_path, held=True).run("deploy", code=5)

    assert "election night" in refused.err


def test_a_commit_that_was_rolled_back_stays_held_until_a_newer_one_is_live(tmp_path: Path) -> None:
    program = prepare(tmp_path)

    refused = program.run("deploy", "--ref", HOLD["commit"], code=5)
    assert HOLD["reason"] in refused.err

    deploy(program)
    assert program.run("status", "--json").json["holds"] == {"by_hand": None, "commits": []}


def test_a_rollback_passes_over_the_marked_version_and_speaks_against_the_one_it_leaves(tmp_path: Path) -> None:
    program = prepare(tmp_path)

    assert program.run("rollback", "--json").json["version"] == EXPECTED["rollback"]
    status = program.run("status", "--json").json
    assert status["current"] == EXPECTED["rollback"]
    assert {hold["version"] for hold in status["holds"]["commits"]} == {LIVE, HOLD["version"]}


def test_pins_keep_versions_from_a_prune(tmp_path: Path) -> None:
    program = prepare(tmp_path)
    pinned = {name for name, version in VERSIONS.items() if version["pin"]}
    assert len(pinned) == 2

    program.run("prune", "--keep", "1")
    rest = {version["name"] for version in program.run("list", "--json").json["versions"]}
    assert rest == pinned | {LIVE}

    program.run("promote", HOLD["version"], code=5)
    program.run("unpin", LEGACY)
    program.run("prune", "--keep", "1")
    assert not (program.site / "www_versions" / LEGACY).exists()


def test_a_version_that_deploy_sh_made_can_be_promoted(tmp_path: Path) -> None:
    program = prepare(tmp_path)
    program.run("promote", LEGACY)

    assert live(program) == LEGACY


def test_what_a_killed_rollback_said_against_the_live_version_is_taken_back(tmp_path: Path) -> None:
    program = prepare(tmp_path, "rollback")
    status = program.run("status", "--json").json
    assert (status["current"], status["mark"]["version"], status["last_run"]["state"]) == (LIVE, LIVE, "interrupted")
    assert len(status["holds"]["commits"]) == 2

    # The branch is further already, so that only the hold of the former rollback is ended by its deploy.
    program.run("deploy", "--no-promote")

    status = program.run("status", "--json").json
    assert (status["current"], status["mark"]) == (LIVE, None)
    assert [hold["commit"] for hold in status["holds"]["commits"]] == [HOLD["commit"]]
    assert not hidden_names(program)


def test_the_removal_that_a_killed_prune_had_begun_is_finished(tmp_path: Path) -> None:
    program = prepare(tmp_path, "prune")
    assert [name[:15] for name in hidden_names(program)] == [".govma-removed-"]
    assert program.run("runs", "--json").json[0]["state"] == "interrupted"

    deploy(program)

    assert not hidden_names(program)
    assert not list((program.site / "state").glob(f"*/{HOLD['version']}*"))
    assert not (program.site / "state/removal.json").exists()


def test_a_checkout_that_was_killed_while_it_was_moved_is_deployed(tmp_path: Path) -> None:
    program = prepare(tmp_path, "checkout")
    note = program.site / "state/checkout-move.json"
    assert note.exists()
    # As a power cut leaves it: git knows of the file, which has not come to the disk.
    robots = program.site / "build-env/gov-tech__ma/data/html/robots.txt"
    robots.write_text("")

    version = deploy(program)

    assert version["manifest"]["commit"] == EXPECTED["pending --no-fetch"]["json"]["target"]["sha"]
    assert robots.read_text() == "User-agent: *\nDisallow: /admin\n"
    assert not note.exists()
