"""A step's command as a script run by a real shell, its output as a log, and how it ended."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest

from govma_core.building.build_script import BuildLog
from govma_core.errors import BuildError, RunCancelled
from govma_core.events import Event, LogLine
from govma_core.reporting import Reporter, silent
from tests.support.builds import job_of


def run(command: str, preamble: str = "") -> tuple[str, int]:
    script = job_of(command).script(preamble)
    process = subprocess.run(["sh", "-c", script], stdout=subprocess.PIPE, check=False, text=True)
    return process.stdout, process.returncode


@pytest.mark.parametrize(
    "command", ["echo \"it's\" '$HOME' \\\\ `echo x`", "printf '%s\\n' a\\ b # done", "echo a\necho b"]
)
def test_a_command_means_what_it_means_to_a_shell(command: str) -> None:
    alone = subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, check=True, text=True).stdout
    assert run(command) == (alone, 0)


def test_both_streams_come_in_their_order_and_the_code_is_the_commands() -> None:
    assert run("echo one; echo two >&2; echo three; exit 9") == ("one\ntwo\nthree\n", 9)


def test_the_preamble_comes_first() -> None:
    assert run("echo $word", preamble="word=said") == ("said\n", 0)


def test_a_long_command_is_cut_and_cleaned_in_sentences() -> None:
    text = job_of("echo \x1b[31m" + "x" * 500 + "\nsecond line").shown
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
    log = BuildLog(job_of("false", 2), silent())
    with pytest.raises(BuildError, match=re.escape(f"the step step-2, `false`, {expected}")):
        log.judge(code, out_of_memory)


def test_a_command_that_succeeds_though_a_child_ran_out_of_memory_has_succeeded() -> None:
    BuildLog(job_of("true"), silent()).judge(0, "A child ran out of memory, and the build did without.")


def chunks(*pieces: bytes | None) -> Iterator[bytes | None]:
    yield from pieces
    while True:
        yield None


def test_following_ends_with_the_stream_and_says_its_last_line() -> None:
    events: list[Event] = []
    log = BuildLog(job_of("true"), Reporter(events.append))
    source = chunks(b"a\nb", None, b"c", b"")
    log.follow(lambda: next(source), 60)
    assert [event.text for event in events if isinstance(event, LogLine)] == ["a", "bc"]


def test_following_ends_at_the_limit() -> None:
    log = BuildLog(job_of("true"), silent())
    source = chunks()
    with pytest.raises(BuildError, match=r"within 0 s \(build_timeout\)"):
        log.follow(lambda: next(source), 0)


def test_following_ends_when_somebody_asked_and_keeps_what_was_said() -> None:
    events: list[Event] = []
    reporter = Reporter(events.append)
    log = BuildLog(job_of("true"), reporter)
    reporter.cancellation.request()
    source = chunks(b"half a line")
    with pytest.raises(RunCancelled):
        log.follow(lambda: next(source), 60)
    assert isinstance(events[0], LogLine)
    assert events[0].text == "half a line"
