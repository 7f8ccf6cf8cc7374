"""Completion, asked by a real bash."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import environment
from tests.support.releases import NAMES, Releases

SCRIPT = """
PATH="{bin}:$PATH"
eval "$(govma-console completion bash)"
COMP_LINE={line!r} COMP_POINT={point} COMP_TYPE=9 COMP_KEY=9
COMP_WORDS=({line}) COMP_CWORD={word}
_python_argcomplete govma-console
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("roll", ["rollback"]),
        ("rollback 2021-09-0", [name.removeprefix("data-build--") for name in (NAMES[1], NAMES[0])]),
        ("rollback data-build--2021-09-02", [NAMES[1]]),
        ("completion z", ["zsh"]),
    ],
)
def test_the_shell_completes_commands_and_versions(tmp_path: Path, typed: str, completed: list[str]) -> None:
    releases = Releases(tmp_path / "site")
    releases.add(*NAMES[:2])
    line = f"govma-console {typed}"
    words = line.split(" ")
    script = SCRIPT.format(bin=Path(sys.executable).parent, line=line, point=len(line), word=len(words) - 1)
    result = subprocess.run(
        ["bash", "-c", script],
        env=environment(GOVMA_CONFIG=str(releases.config)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert [word.strip() for word in result.stdout.split("\n") if word.strip()] == completed, result.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_gets_its_code(shell: str) -> None:
    command = [sys.executable, "-m", "govma_console", "completion", shell]
    script = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60, check=True).stdout
    assert "govma-console" in script
