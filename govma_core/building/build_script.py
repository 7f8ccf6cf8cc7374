"""The parts that builders share: a step's command as a shell script, its output as a log, its end as a sentence."""

from __future__ import annotations

import shlex
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from govma_core.errors import BuildError
from govma_core.reporting import Reporter
from govma_core.text.clean import LineSplitter, clean_line
from govma_core.text.language import tr

_SHOWN = 120


@dataclass(frozen=True, slots=True)
class BuildJob:
    """One step of a build: where, what, and under which run's name.

    `tree_fd` is the opened tree: its name could lead elsewhere once the build's user has it.
    """

    run_id: str
    name: str
    tree: Path
    tree_fd: int
    command: str

    def script(self, preamble: str = "") -> str:
        """Return the command as a text for `sh -c`; `preamble` is a line that is run before it."""
        # One pipe for both streams keeps their order. The tree is opened, so that ReadWatch can tell that it sees what
        # the build does. eval: a syntax error is the command's, and told as such.
        lines = ("exec 2>&1", "{ true < .; } 2>/dev/null", preamble, f"eval {shlex.quote(self.command)}")
        return "\n".join(filter(None, lines)) + "\n"

    @property
    def shown(self) -> str:
        """Name the step and its command for a sentence."""
        text = clean_line(self.command.replace("\n", " "))
        text = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
        return tr("the step {name}, `{text_}`", name=self.name, text_=text)


class BuildLog:
    """Takes a step's output in chunks, and passes it on as clean lines."""

    def __init__(self, job: BuildJob, reporter: Reporter) -> None:
        self.job = job
        self._reporter = reporter
        self._splitter = LineSplitter()

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the output."""
        self._pass_on(self._splitter.feed(chunk))

    def close(self) -> None:
        """Pass on the rest: nothing more will come."""
        self._pass_on(self._splitter.close())

    def _pass_on(self, lines: Iterable[str]) -> None:
        if complete := list(lines):
            self._reporter.output(*complete)

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
                        where=self.job.shown,
                    )
        finally:
            self.close()

    def judge(self, code: int, out_of_memory: str = "") -> None:
        """Raise BuildError unless the command ended with exit code 0.

        A code above 128 is a signal, as shells give it; `out_of_memory` says which limit the kernel enforced.
        """
        if code != 0:
            raise BuildError(
                "The build failed: {where}, {ending}", where=self.job.shown, ending=_ending(code, out_of_memory)
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
