"""Which language is spoken, and how texts, numbers and days are written in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from govma_console.cli.main import choose_language
from govma_core.text import language


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "en"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "pt_BR.UTF-8"}, "pt_BR"),
        ({"LANG": "pt_PT.UTF-8@euro"}, "pt_BR"),
        ({"LANG": "pt"}, "pt_BR"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "pt_BR.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "C", "LC_MESSAGES": "pt_BR"}, "pt_BR"),
        ({"LANG": "pt_BR.UTF-8", "GOVMA_LANGUAGE": "en"}, "en"),
        ({"LANG": "C", "GOVMA_LANGUAGE": "pt_BR"}, "pt_BR"),
        ({"LANG": "pt_BR", "GOVMA_LANGUAGE": "nonsense"}, "pt_BR"),
    ],
)
def test_the_environment_chooses(environment: dict[str, str], expected: str, tmp_path: Path) -> None:
    assert choose_language(["--config", str(tmp_path / "none")], environment) == expected


def test_the_settings_file_goes_before_the_locale_and_after_the_variable(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('language = "pt_BR"\n')
    for arguments in (["list", "--config", str(file)], [f"--config={file}", "list"]):
        assert choose_language(arguments, {"LANG": "C"}) == "pt_BR"
        assert choose_language(arguments, {"GOVMA_LANGUAGE": "en"}) == "en"
    assert choose_language(["list"], {"GOVMA_CONFIG": str(file)}) == "pt_BR"
    file.write_text("language = [not toml")
    assert choose_language(["--config", str(file)], {"LANG": "C"}) == "en"


def run(*arguments: str, **environment: str) -> str:
    result = subprocess.run(
        [sys.executable, "-m", "govma_console", *arguments],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout + result.stderr


def test_commands_speak_the_language_that_was_asked_for(tmp_path: Path) -> None:
    """Guards the way from the environment to the output, texts that are made at import included."""
    assert "list the versions" in run("--help", LANG="C.UTF-8")
    assert "list the versions" not in run("--help", LANG="pt_BR.UTF-8")
    assert "versões" in run("--help", LANG="pt_BR.UTF-8")
    file = tmp_path / "settings.toml"
    file.write_text('language = "pt_BR"\nversions_dir = "nowhere"\n')
    assert "versões" in run("--config", str(file), "--help", LANG="C.UTF-8")
    assert "não é um caminho absoluto" in run("--config", str(file), "list", LANG="C.UTF-8")


def test_numbers_and_days_are_written_as_the_language_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language, "_language", "pt_BR")
    monkeypatch.setattr(language, "_translations", language._of("pt_BR"))
    assert (language.counted(12345, "file", "files"), language.counted(1, "file", "files")) == (
        "12.345 arquivos",
        "1 arquivo",
    )
    assert (language.decimal("73.5 MB"), language.date_format()) == ("73,5 MB", "%d/%m/%Y")
    assert language.tr("a text { that nobody translated") == "a text { that nobody translated"


def test_english_is_the_text_itself() -> None:
    assert language.counted(12345, "file", "files") == "12,345 files"
    assert language.tr("{one} of {{two}}", one=1) == "1 of {two}"
