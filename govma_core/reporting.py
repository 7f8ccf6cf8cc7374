"""The voice of an operation: stages and log lines go out as events, a request to cancel comes in.

Texts are English with values by name, and are translated here, as tr() does; cleaned of control characters, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from govma_core.errors import RunCancelled
from govma_core.events import Emit, Event, Level, LogLine, Outcome, Progress, StageFinished, StageStarted
from govma_core.masking import Mask
from govma_core.text.clean import clean_line
from govma_core.text.language import tr

_PROGRESS_SECONDS = 0.25


class Cancellation:
    """A request to stop, honoured at safe points only.

    `request()` may come from a signal handler. Work that only waits (git, a builder's output) runs inside
    `interruptible()`, where the request raises at once; everything else calls `check()` between steps.
    """

    def __init__(self) -> None:
        self._requested = False
        self._waiting = 0
        self._closed = False

    @property
    def requested(self) -> bool:
        """True once a cancel was asked for, unless the point of no return was passed before."""
        return self._requested and not self._closed

    def request(self) -> None:
        """Ask to stop; raises RunCancelled right here when the work only waits (signal handlers run in it)."""
        self._requested = True
        if self._waiting and not self._closed:
            # The signal may arrive just before the block counts itself out: what raises here waits no more.
            self._waiting = 0
            raise RunCancelled

    def check(self) -> None:
        """Raise RunCancelled when a cancel was asked for."""
        if self.requested:
            raise RunCancelled

    def close(self) -> None:
        """Pass the point of no return: a request no longer has an effect."""
        self.check()
        self._closed = True

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let a request raise at any moment within the block; use it around waiting only."""
        self.check()
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting = max(0, self._waiting - 1)


class StageRemark:
    """What a stage wants to have said beside its name when it ends."""

    def __init__(self) -> None:
        self.outcome: Outcome = "ok"
        self.text = ""

    def skip(self, why: str, /, **values: object) -> None:
        """Mark the stage as skipped, and say why."""
        self.outcome, self.text = "skipped", tr(why, **values)

    def warn(self, text: str = "", /, **values: object) -> None:
        """Mark the stage as one that came to its end without what it is for being certain, and say why."""
        self.outcome, self.text = "warning", tr(text, **values)

    def note(self, text: str, /, **values: object) -> None:
        """Leave a short remark."""
        self.text = tr(text, **values)


class Reporter:
    """Turns what an operation has to say into events.

    `flush` is called when a program's output pauses: whoever keeps the events may have held some back until then.
    `emit_output` takes the moment and many lines of output at once, where `emit` would be given each as an event.
    What `mask` hides is in no line.
    """

    def __init__(
        self,
        emit: Emit,
        cancellation: Cancellation | None = None,
        flush: Callable[[], None] = lambda: None,
        emit_output: Callable[[float, Sequence[str]], None] | None = None,
        mask: Mask | None = None,
    ) -> None:
        self.mask = mask or Mask()
        self._emit = emit
        self._emit_output = emit_output or self._emit_each
        self.flush = flush
        self.cancellation = cancellation or Cancellation()
        self._last_progress = 0.0

    def hide(self, environment: Iterable[str]) -> None:
        """Hide from now on what stands in an environment (`NAME=value`), too."""
        self.mask = self.mask.also(environment)

    def emit(self, event: Event) -> None:
        """Pass an event on as it is."""
        self._emit(event)

    def info(self, text: str, /, **values: object) -> None:
        """Say something about the run."""
        self._lines("info", tr(text, **values))

    def warning(self, text: str, /, **values: object) -> None:
        """Say something the operator should look at."""
        self._lines("warning", tr(text, **values))

    def error(self, text: str, /, **values: object) -> None:
        """Say why the run fails."""
        self._lines("error", tr(text, **values))

    def output(self, *lines: str) -> None:
        """Pass on lines of a program's output that were cleaned already (see govma_core.text.clean)."""
        self.pass_on(self.mask.lines(lines))

    def pass_on(self, lines: Sequence[str]) -> None:
        """Pass on lines of output that another reporter with this mask was given."""
        self._emit_output(time.time(), lines)

    def progress(self, stage: str, done: int, total: int, unit: str) -> None:
        """Say how far a stage is (total 0: not known), a few times a second at most; a request to cancel raises."""
        self.cancellation.check()
        now = time.monotonic()
        if now - self._last_progress < _PROGRESS_SECONDS:
            return
        self._last_progress = now
        self._emit(Progress(time.time(), stage, done, total, unit))

    @contextmanager
    def stage(self, name: str) -> Iterator[StageRemark]:
        """Frame a stage: started and finished events, with the outcome, also when it raises."""
        self.cancellation.check()
        began = time.monotonic()
        self._emit(StageStarted(time.time(), name))
        remark = StageRemark()
        try:
            yield remark
        except RunCancelled:
            remark.outcome = "cancelled"
            raise
        except BaseException:
            remark.outcome = "failed"
            raise
        finally:
            seconds = round(time.monotonic() - began, 3)
            self._emit(StageFinished(time.time(), name, remark.outcome, seconds, clean_line(self.mask(remark.text))))

    def _emit_each(self, at: float, lines: Sequence[str]) -> None:
        for line in lines:
            self._emit(LogLine(at, "output", line))

    def _lines(self, level: Level, text: str) -> None:
        for line in self.mask(text).split("\n"):
            self._emit(LogLine(time.time(), level, clean_line(line)))


def silent() -> Reporter:
    """Return a reporter whose events go nowhere."""
    return Reporter(lambda event: None)
