"""Commands and variables that texts advise are those of the site that is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from govma_console.cli.commands import COMMANDS
from govma_console.narration import plain_text
from govma_console.output import hint_with, hinted
from govma_console.tui.panes.log_file import read_line
from govma_core.errors import RefusedError
from govma_core.events import LogLine, RunFinished, to_json
from govma_core.text.language import tr
from tests.support.command import Command
from tests.support.sample import SampleSite


def test_what_is_advised_names_the_settings_file_that_was_given(command: Command, sample: SampleSite) -> None:
    """Guards the site beside this one: without the file, the advice would end its holds."""
    assert command.run("hold").code == 0
    advised = f"`govma-console --config {sample.config_file} release`"
    refusal = command.run("deploy").err
    assert advised in refusal
    assert f"`govma-console --config {sample.config_file} deploy --force`" in refusal
    assert command.run("release").code == 0


@pytest.mark.parametrize(
    ("advice", "typed"),
    [
        ("`govma-console promote v1` makes it so.", "`govma-console --config '/srv/a b' promote v1` makes it so."),
        ("`govma-console` shows it", "`govma-console --config '/srv/a b'` shows it"),
        ("Takes: govma-console services up web;", "Takes: govma-console --config '/srv/a b' services up web;"),
        ("→ govma-console units --socket", "→ govma-console --config '/srv/a b' units --socket"),
        ("start `govma-console --headless-server`", "start `govma-console --config '/srv/a b' --headless-server`"),
        ("govma-console --config /srv/x list", "govma-console --config /srv/x list"),
        (
            "`govma-console release`, or `govma-console deploy --force`",
            "`govma-console --config '/srv/a b' release`, or `govma-console --config '/srv/a b' deploy --force`",
        ),
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


def test_advice_is_typed_so_in_all_texts_and_in_logs_but_not_in_the_output_of_programs(
    request: pytest.FixtureRequest,
) -> None:
    request.addfinalizer(lambda: hint_with(None, ()))
    hint_with(Path("/srv/x"), ["release"])
    advice, typed = "`govma-console release` ends it.", "`govma-console --config /srv/x release` ends it."
    assert (tr(advice), str(RefusedError("{what} {how}", what="Held:", how=advice))) == (typed, f"Held: {typed}")
    for event, line in ((LogLine(0.0, "warning", advice), typed), (LogLine(0.0, "output", advice), advice)):
        assert plain_text(event).endswith(f"{line}\n")
        assert read_line(to_json(event).encode()).text == line
    assert typed in plain_text(RunFinished(0.0, "ok", 0, advice))


def test_a_variable_that_is_almost_one_of_ours_is_named(command: Command) -> None:
    findings = command.run("doctor", "--json", GOVMA_STATEDIR="/x", GOVMA_RUN="7", GOV_MA_CACHE_OF_OTHERS="x").json
    notes = {finding["what"]: finding["said"] for finding in findings if finding["what"].startswith("GOV")}
    assert list(notes) == ["GOVMA_STATEDIR"]
    assert "GOVMA_STATE_DIR" in notes["GOVMA_STATEDIR"]
