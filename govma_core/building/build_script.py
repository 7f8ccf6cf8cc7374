"""The parts that builders share: the commands as one shell script, its output as a log, its end as a sentence.

The script says which command it begins by a line with a random token; the reader takes those lines out again.
"""

from __future__ import annotations

import secrets
import shlex
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from govma_core.errors import BuildError
from govma_core.reporting import Reporter
from govma_core.text.clean import LineSplitter, clean_line
from govma_core.text.language import tr

_SHOWN = 120


@dataclass(frozen=True, slots=True)
class BuildJob:
    """One build: where, what, and under which run's name.

    `work_fd` is the opened work dir: its name could lead elsewhere once the build's user has it.
    """

    run_id: str
    work_dir: Path
    work_fd: int
    commands: tuple[str, ...]


class BuildScript:
    """The commands of one build, as a text for `sh -c` that runs them in one shell until the first fails."""

    def __init__(self, commands: Sequence[str]) -> None:
        self.commands = tuple(commands)
        token = secrets.token_hex(16)
        self._markers = {f"{token} {number}": number for number in range(1, len(self.commands) + 1)}

    def text(self, preamble: str = "") -> str:
        """Return the script; `preamble` is a line that is run before the first command."""
        # One pipe for both streams keeps their order. eval: a syntax error belongs to the command that has it.
        lines = [line for line in ("exec 2>&1", preamble) if line]
        for marker, number in self._markers.items():
            lines.append(f"printf '\\n%s\\n' '{marker}'")
            lines.append(f"eval {shlex.quote(self.commands[number - 1])} || exit")
        return "\n".join(lines) + "\n"

    def begins(self, line: str) -> int:
        """Return the number of the command that this line of output announces, 0 for any other line."""
        return self._markers.get(line, 0)

    def shown(self, number: int) -> str:
        """Name a command for a sentence."""
        if number == 0:
            return tr("the shell, before the first command")
        text = clean_line(self.commands[number - 1].replace("\n", " "))
        text = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
        return tr("command {number} of {count}, `{text_}`", number=number, count=len(self.commands), text_=text)


class BuildLog:
    """Takes a script's output in chunks, passes it on as clean lines, and knows which command is running."""

    def __init__(self, script: BuildScript, reporter: Reporter) -> None:
        self._script = script
        self._reporter = reporter
        self._splitter = LineSplitter()
        self._has_pending_blank = False
        self._lines: list[str] = []
        self._current = 0

    @property
    def where(self) -> str:
        """Name the command that is running, or ran last."""
        return self._script.shown(self._current)

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the output."""
        for line in self._splitter.feed(chunk):
            self._line(line)
        self._pass_on()

    def close(self) -> None:
        """Pass on the rest: nothing more will come."""
        for line in self._splitter.close():
            self._line(line)
        if self._has_pending_blank:
            self._lines.append("")
            self._has_pending_blank = False
        self._pass_on()

    def _line(self, line: str) -> None:
        number = self._script.begins(line)
        if number:
            # The line end before the marker is the script's too: it made, or it closed, the line that is held.
            self._has_pending_blank = False
            self._pass_on()
            self._current = number
            self._reporter.info(f"$ {self._script.commands[number - 1]}")
            return
        if self._has_pending_blank:
            self._lines.append("")
        self._has_pending_blank = not line
        if line:
            self._lines.append(line)

    def _pass_on(self) -> None:
        if self._lines:
            lines, self._lines = self._lines, []
            self._reporter.output(*lines)

    def follow(self, receive: Callable[[], bytes | None], timeout: int) -> None:
        """Read to the end of the build.

        `receive` gives the next bytes, None when there were none for a TICK, and b"" once the build has ended; it
        alone waits, in `interruptible()`. RunCancelled when the run is to stop, BuildError after `timeout` seconds.
        """
        ends = time.monotonic() + timeout
        try:
            while (chunk := receive()) != b"":
                if chunk:
                    self.feed(chunk)
                    self._reporter.flush()
                self._reporter.cancellation.check()
                if time.monotonic() >= ends:
                    raise BuildError(
                        "The build did not end within {timeout} s (build_timeout) and was stopped. It was "
                        "running {where}. Look in the log what it waited for, or raise build_timeout.",
                        timeout=timeout,
                        where=self.where,
                    )
        finally:
            self.close()

    def judge(self, code: int, out_of_memory: str = "") -> None:
        """Raise BuildError unless the script ended with exit code 0 and in its last command.

        A code above 128 is a signal, as shells give it; `out_of_memory` says which limit the kernel enforced.
        """
        if code != 0:
            raise BuildError(
                "The build failed: {where}, {ending}", where=self.where, ending=_ending(code, out_of_memory)
            )
        if self._current != len(self._script.commands):
            raise BuildError(
                "The build is not complete: {where}, ended the shell with exit code 0, so the commands "
                "after it did not run. Take `exit` or `exec` out of it.",
                where=self.where,
            )


def _ending(code: int, out_of_memory: str) -> str:
    if out_of_memory:
        return tr("ran out of memory (exit code {code}). {out_of_memory}", code=code, out_of_memory=out_of_memory)
    if code == 128 + signal.SIGKILL:
        return tr(
            "was killed (exit code 137, SIGKILL): no memory was left, of the machine or of build_memory (`dmesg` says "
            "so), Docker was stopped (`journalctl -u docker`), or somebody ended it."
        )
    if code > 128 and code - 128 in {number.value for number in signal.Signals}:
        return tr(
            "was ended by {name} (exit code {code}). Its output is in the log.",
            name=signal.Signals(code - 128).name,
            code=code,
        )
    return tr("ended with exit code {code}. Its output is in the log.", code=code)
