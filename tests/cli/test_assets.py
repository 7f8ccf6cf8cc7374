"""The command `assets`: where what each step made comes from, and whether what is recorded is what the build makes."""

from __future__ import annotations

import json

import pytest

from govma_core.errors import ExitCode
from tests.support.command import Command
from tests.support.sample import SampleSite
from tests.support.server import configure


def test_it_tells_what_was_reused_and_why_the_rest_ran(sample: SampleSite, command: Command) -> None:
    configure(sample, asset_inputs="auto")
    first = command.run("deploy")
    assert first.code == 0, first.err
    table = command.run("assets").out
    assert "ran: nothing is recorded of this command, builder and installation" in table
    sample.commit({"resources/js/portal/app.js": "novo()"}, "Script")
    command.run("deploy")
    report = json.loads(command.run("assets", "--json").out)
    steps = {step["name"]: step for step in report["steps"]}
    assert steps["prod"]["changed"] == ["resources/js/portal/app.js"]
    assert steps["docs"]["run"]
    table = command.run("assets", "--explain").out
    assert "ran: resources/js/portal/app.js changed" in table
    assert f"reused from {steps['docs']['run']}" in table
    earlier = command.run("assets", first.out.strip())
    assert "resources/js" not in earlier.out


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        ((), ExitCode.REFUSED, "It is not known how the assets of data-build--2021-09-03-00h03m29s were made"),
        (("--verify",), ExitCode.REFUSED, "It is not known which commit is live"),
        (("--verify", "data-build--2021"), ExitCode.USAGE, "--verify is about the live version"),
        (("--detach",), ExitCode.USAGE, "Only --verify starts a run"),
        (("nothing",), ExitCode.REFUSED, "nothing"),
    ],
)
def test_what_cannot_be_told_is_said(
    sample: SampleSite, command: Command, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    result = command.run("assets", *arguments)
    assert result.code == code
    assert sentence in result.err


def test_commands_said_in_two_ways_are_refused(sample: SampleSite, command: Command) -> None:
    with sample.config_file.open("a") as file:
        file.write('\n[[build.steps]]\nname = "one"\ncommand = "true"\n')
    result = command.run("deploy")
    assert result.code == ExitCode.CONFIGURATION
    assert "build.steps and build_commands are both set" in result.err


def test_verify_finds_what_no_watch_sees_and_the_next_deploy_builds_it(sample: SampleSite, command: Command) -> None:
    step = '[[build.steps]]\nname = "clock"\ncommand = "date +%N > data/html/clock.txt"\n'
    # What is beside the site is nobody's concern when no step comes after.
    configure(sample, asset_inputs="auto", build_commands=["date +%N > statistics.txt; echo x > data/html/x"])
    command.run("deploy")
    verified = command.run("assets", "--verify")
    assert verified.code == 0, verified.err
    assert "What is recorded is what the build of" in verified.out
    configure(sample, build_commands=[])
    with sample.config_file.open("a") as file:
        file.write(f"\n{step}")
    command.run("deploy")
    clock = sample.versions_dir / "current-version/html/clock.txt"
    before = clock.read_text()
    verified = command.run("assets", "--verify")
    assert verified.code == ExitCode.FAILED
    assert "clock of data-build--" in verified.err
    assert "made something else than is recorded, which is dropped now: data/html/clock.txt" in verified.err
    assert clock.read_text() == before
    command.run("deploy")
    assert clock.read_text() != before
