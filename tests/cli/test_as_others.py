"""The command for users who may not read what was written down, and hints that lead to the site that is meant."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from govma_console.cli.commands import COMMANDS
from govma_console.cli.main import main
from govma_console.output import hint_with, hinted
from govma_core.runs.lock import Holder, held_lock
from tests.support.command import Command
from tests.support.rights import as_root, passable
from tests.support.sample import LEGACY_VERSION, SampleSite, create_sample

_NOBODY = 65534


@contextmanager
def nobody() -> Iterator[None]:
    """Have the rights of a user who owns nothing, for the block."""
    os.setegid(_NOBODY)
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@as_root
def test_who_may_not_know_is_told_so_instead_of_a_guess(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Guards pinned versions from a plan that calls them removable, and a history from being called unrecorded."""
    site = create_sample(passable(tmp_path) / "site")
    passable(site.versions_dir)
    command = Command(site.config_file, site.state_dir)
    assert command.run("deploy").code == 0
    assert command.run("pin", LEGACY_VERSION).code == 0
    config = ["--config", str(site.config_file)]
    # Python itself may lie where nobody can read: what the commands import is there before.
    for words in (["history"], ["prune", "--dry-run"], ["list"], ["doctor"]):
        assert main([*config, *words]) in (0, 3)
    capsys.readouterr()
    with nobody():
        codes = [main([*config, "history"]), main([*config, "prune", "--dry-run", "--keep", "1"])]
        output = capsys.readouterr()
        assert (codes, output.out) == ([5, 5], "")
        assert output.err.count("cannot be read by this user") == 2
        assert main([*config, "list"]) == 0
        output = capsys.readouterr()
        assert output.out.count("not readable") == 2
        assert "no manifest" not in output.out
        assert "cannot be read by this user" in output.err
        assert main([*config, "doctor"]) in (0, 3)
        report = capsys.readouterr().out
        assert "chown" not in report
        assert "run the doctor as root" in report


def test_what_is_advised_names_the_settings_file_that_was_given(command: Command, sample: SampleSite) -> None:
    """Guards the site beside this one: without the file, the advice would end its holds."""
    assert command.run("hold").code == 0
    advised = f"`govma-console --config {sample.config_file} release`"
    assert advised in command.run("deploy").err
    assert command.run("release").code == 0


@pytest.mark.parametrize(
    ("advice", "typed"),
    [
        ("`govma-console promote v1` makes it so.", "`govma-console --config '/srv/a b' promote v1` makes it so."),
        ("`govma-console` shows it", "`govma-console --config '/srv/a b'` shows it"),
        ("Takes: govma-console services up web;", "Takes: govma-console --config '/srv/a b' services up web;"),
        ("→ govma-console units --socket", "→ govma-console --config '/srv/a b' units --socket"),
        ("start `govma-console --headless-server`", "start `govma-console --config '/srv/a b' --headless-server`"),
        ("a fault of govma-console in an answer", "a fault of govma-console in an answer"),
        ("govma-console: there are 3", "govma-console: there are 3"),
        ("/etc/govma-console.toml", "/etc/govma-console.toml"),
    ],
)
def test_advice_wherever_it_stands_in_a_text(advice: str, typed: str) -> None:
    names = [command.name for command in COMMANDS]
    hint_with(Path("/srv/a b"), names)
    assert hinted(advice) == typed
    hint_with(None, names)
    assert hinted(advice) == advice


def test_a_state_dir_in_a_place_that_is_not_there_is_not_made(command: Command, sample: SampleSite) -> None:
    """Guards the locks, pins and holds from a second place for them, made by a mistyped setting."""
    text = sample.config_file.read_text()
    wrong = sample.root / "no such place/state"
    sample.config_file.write_text(text.replace(str(sample.state_dir), str(wrong)))
    for arguments in (["deploy"], ["hold"], ["pin", LEGACY_VERSION]):
        result = command.run(*arguments)
        assert result.code == 5
        assert "Make the directory above it, or correct the setting" in result.err
    assert not wrong.parent.exists()


def test_a_demo_is_not_removed_from_under_a_run(command: Command, sample: SampleSite) -> None:
    sample.state_dir.mkdir(exist_ok=True)
    with held_lock(sample.state_dir, Holder("x", "deploy", "ana", 1.0)):
        result = command.run("demo", "--remove", str(sample.root))
        assert (result.code, "started by ana" in result.err) == (4, True), result.err
    assert sample.versions_dir.exists()
    assert command.run("demo", "--remove", str(sample.root)).code == 0
    assert not sample.root.exists()


def test_a_token_is_all_that_is_on_standard_output(command: Command, sample: SampleSite) -> None:
    """Guards `govma-console token ci > ci.token`."""
    with sample.config_file.open("a") as file:
        file.write(f'\ntoken_file = "{sample.root}/tokens"\n')
    result = command.run("token", "ci")
    assert result.code == 0, result.err
    assert len(result.out.split()) == 1
    assert result.out.endswith("\n")
    assert "Authorization: Bearer" in result.err


def test_a_variable_that_is_almost_one_of_ours_is_named(command: Command) -> None:
    findings = command.run("doctor", "--json", GOVMA_STATEDIR="/x", GOVMA_RUN="7", GOV_MA_CACHE_OF_OTHERS="x").json
    notes = {finding["what"]: finding["said"] for finding in findings if finding["what"].startswith("GOV")}
    assert list(notes) == ["GOVMA_STATEDIR"]
    assert "GOVMA_STATE_DIR" in notes["GOVMA_STATEDIR"]
