"""The build's script run by a real shell, and its output read back: which command runs, and how it ended."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from govma_core.building.build_script import BuildLog, BuildScript
from govma_core.errors import BuildError, RunCancelled
from govma_core.events import Event, LogLine
from govma_core.reporting import Reporter, silent


def run(*commands: str, preamble: str = "") -> tuple[BuildScript, bytes, int]:
    script = BuildScript(commands)
    process = subprocess.run(["sh", "-c", script.text(preamble)], stdout=subprocess.PIPE, check=False)
    return script, process.stdout, process.returncode


def read(script: BuildScript, *chunks: bytes) -> tuple[BuildLog, list[tuple[str, str]]]:
    events: list[Event] = []
    log = BuildLog(script, Reporter(events.append))
    for chunk in chunks:
        log.feed(chunk)
    log.close()
    return log, [(event.level, event.text) for event in events if isinstance(event, LogLine)]


def test_commands_run_in_order_in_one_shell_and_stop_at_the_first_failure() -> None:
    script, output, code = run("here=one", "echo $here >&2; echo two", "(exit 9)", "echo never")
    log, lines = read(script, output)
    assert code == 9
    assert lines == [
        ("info", "$ here=one"),
        ("info", "$ echo $here >&2; echo two"),
        ("output", "one"),
        ("output", "two"),
        ("info", "$ (exit 9)"),
    ]
    assert log.where == "command 3 of 4, `(exit 9)`"


@pytest.mark.parametrize(
    "command", ["echo \"it's\" '$HOME' \\\\ `echo x`", "printf '%s\\n' a\\ b # done", "echo a\necho b"]
)
def test_commands_mean_what_they_mean_to_a_shell(command: str) -> None:
    script, output, _ = run(command)
    lines = [text for level, text in read(script, output)[1] if level == "output"]
    alone = subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, check=True, text=True).stdout
    assert lines == alone.splitlines()


def test_the_preamble_comes_first() -> None:
    script, output, _ = run("echo $word", preamble="word=said")
    assert read(script, output)[1][-1] == ("output", "said")


def test_markers_are_found_however_the_chunks_fall() -> None:
    script, output, _ = run("printf 'no end'", "echo; echo; echo x", "printf '\\n\\nlast'")
    expected = read(script, output)
    for cut in range(len(output) + 1):
        assert read(script, output[:cut], output[cut:])[1] == expected[1]


@given(st.lists(st.sampled_from(["", "a", "b c"]), max_size=8), st.booleans())
def test_every_line_comes_out_once_blank_ones_too(lines: list[str], end: bool) -> None:
    script = BuildScript(["first", "second"])
    begins = [line for line in script.text().splitlines() if line.startswith("printf")]
    markers = [re.findall(r"'([0-9a-f]{32} \d)'", line)[0] for line in begins]
    text = "\n".join(lines) + ("\n" if end and lines else "")
    stream = f"\n{markers[0]}\n{text}\n{markers[1]}\n"
    got = [text for level, text in read(script, stream.encode())[1] if level == "output"]
    assert got == text.split("\n")[: -1 if text.endswith("\n") or not text else None]


def test_a_marker_that_is_guessed_is_output() -> None:
    script = BuildScript(["one"])
    guess = "0" * 32 + " 1"
    assert read(script, f"{guess}\n".encode())[1] == [("output", guess)]


def test_a_long_command_is_cut_and_cleaned_in_sentences() -> None:
    script = BuildScript(["echo \x1b[31m" + "x" * 500 + "\nsecond line"])
    text = script.shown(1)
    assert len(text) < 160
    assert "\x1b" not in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("code", "out_of_memory", "expected"),
    [
        (1, "", "ended with exit code 1"),
        (137, "", "was killed (exit code 137, SIGKILL)"),
        (143, "", "was ended by SIGTERM (exit code 143)"),
        (255, "", "ended with exit code 255"),
        (137, "The limit is 1g.", "ran out of memory (exit code 137). The limit is 1g."),
        (1, "The limit is 1g.", "ran out of memory (exit code 1). The limit is 1g."),
    ],
)
def test_the_end_is_told_as_what_it_was(code: int, out_of_memory: str, expected: str) -> None:
    script, output, _ = run("true", "false")
    log, _ = read(script, output)
    with pytest.raises(BuildError, match=re.escape(f"command 2 of 2, `false`, {expected}")):
        log.judge(code, out_of_memory)


def test_success_needs_the_last_command_to_have_begun() -> None:
    script, output, _ = run("true", "true")
    read(script, output)[0].judge(0, "A child ran out of memory, and the build did without.")
    script, output, code = run("exit 0", "true")
    assert code == 0
    with pytest.raises(BuildError, match="not complete: command 1 of 2"):
        read(script, output)[0].judge(code)


def test_before_the_first_command_it_is_the_shell_that_failed() -> None:
    log, _ = read(BuildScript(["true"]), b"")
    with pytest.raises(BuildError, match="the shell, before the first command, ended with exit code 2"):
        log.judge(2)


def chunks(*pieces: bytes | None) -> Iterator[bytes | None]:
    yield from pieces
    while True:
        yield None


def test_following_ends_with_the_stream_and_says_its_last_line() -> None:
    events: list[Event] = []
    log = BuildLog(BuildScript(["true"]), Reporter(events.append))
    source = chunks(b"a\nb", None, b"c", b"")
    log.follow(lambda: next(source), 60)
    assert [event.text for event in events if isinstance(event, LogLine)] == ["a", "bc"]


def test_following_ends_at_the_limit() -> None:
    log = BuildLog(BuildScript(["true"]), silent())
    source = chunks()
    with pytest.raises(BuildError, match=r"within 0 s \(build_timeout\)"):
        log.follow(lambda: next(source), 0)


def test_following_ends_when_somebody_asked_and_keeps_what_was_said() -> None:
    events: list[Event] = []
    reporter = Reporter(events.append)
    log = BuildLog(BuildScript(["true"]), reporter)
    reporter.cancellation.request()
    source = chunks(b"half a line")
    with pytest.raises(RunCancelled):
        log.follow(lambda: next(source), 60)
    assert isinstance(events[0], LogLine)
    assert events[0].text == "half a line"
