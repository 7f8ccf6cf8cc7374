"""Runs the steps of a build, as many at the same time as may; what they report is passed on by the thread that waits.

One thread a step; all of the run's events, its cancellation and what is put together stay with the caller's.
"""

from __future__ import annotations

import contextvars
import dataclasses
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack, suppress
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from govma_core.errors import RunCancelled
from govma_core.events import Event, LogLine
from govma_core.reporting import Cancellation, Reporter, StageRemark

T = TypeVar("T")
Work = Callable[[Reporter], T]
_TICK = 0.25
_MOST_UNREAD = 64
"""Pieces of output that a step may be ahead of the log."""


class _StepCancellation(Cancellation):
    """Is requested with the run's, or when another step has failed."""

    def __init__(self, run: Cancellation) -> None:
        super().__init__()
        self._run = run
        self.ended = False

    @property
    def requested(self) -> bool:
        return self.ended or self._run.requested


@dataclasses.dataclass(frozen=True, slots=True)
class _End(Generic[T]):
    """How the work of a step ended: its result, or what it raised."""

    result: T | None = None
    error: BaseException | None = None


class ParallelSteps(Generic[T]):
    """Runs steps, each once all that it comes after have ended.

    `begin` is called for a step whose turn it is, with the remark of its stage: it returns what is to be done in a
    thread of its own, or None when nothing is. `end` is called with the result of that. Both are called by the thread
    that runs all. With `labels` each line of the log names its step.
    """

    def __init__(
        self,
        reporter: Reporter,
        begin: Callable[[str, StageRemark], Work[T] | None],
        end: Callable[[str, StageRemark, T], None],
        *,
        most: int,
        labels: bool,
    ) -> None:
        self._reporter = reporter
        self._begin, self._end = begin, end
        self._most = most
        self._labels = labels
        self._cancellation = _StepCancellation(reporter.cancellation)
        self._messages: SimpleQueue[tuple[str, Event | Sequence[str] | _End[T]]] = SimpleQueue()
        self._unread = threading.Semaphore(_MOST_UNREAD)
        self._threads: dict[str, threading.Thread] = {}
        self._stages: dict[str, tuple[ExitStack, StageRemark]] = {}

    def run(self, after: Mapping[str, Collection[str]]) -> None:
        """Run all steps; `after` has for each those that it comes after. What one raises ends the others first."""
        waiting, ended = dict(after), set[str]()
        try:
            while waiting or self._threads:
                ready = [name for name, others in waiting.items() if ended.issuperset(others)]
                if ready and len(self._threads) < self._most:
                    del waiting[ready[0]]
                    if not self._start(ready[0]):
                        ended.add(ready[0])
                    continue
                ended |= self._take()
        except BaseException:
            self._stop()
            raise

    def _start(self, name: str) -> bool:
        """Begin a step; tell whether there is something to wait for."""
        with ExitStack() as stack:
            remark = stack.enter_context(self._reporter.stage(f"assets/{name}"))
            work = self._begin(name, remark)
            if work is None:
                return False
            self._stages[name] = stack.pop_all(), remark
        run = contextvars.copy_context().run
        thread = threading.Thread(target=run, args=(self._work, name, work), name=name, daemon=True)
        thread.start()
        self._threads[name] = thread
        return True

    def _work(self, name: str, work: Work[T]) -> None:
        """Do the work of a step, in its thread."""

        def put(message: Event | Sequence[str]) -> None:
            self._unread.acquire()
            self._messages.put((name, message))

        reporter = Reporter(put, self._cancellation, emit_output=lambda at, lines: put(lines), mask=self._reporter.mask)
        try:
            self._messages.put((name, _End(work(reporter))))
        except BaseException as error:
            self._messages.put((name, _End(error=error)))

    def _take(self) -> set[str]:
        """Pass on one message of a step; return its name when it has ended."""
        try:
            with self._reporter.cancellation.interruptible():
                name, message = self._messages.get(timeout=_TICK)
        except Empty:
            return set()
        if not isinstance(message, _End):
            self._unread.release()
            self._pass_on(name, message)
            return set()
        self._threads.pop(name).join()
        stack, remark = self._stages.pop(name)
        with stack:
            if message.error is not None:
                raise message.error
            self._end(name, remark, message.result)  # type: ignore[arg-type]
        return {name}

    def _pass_on(self, name: str, message: Event | Sequence[str]) -> None:
        label = f"{name}: " if self._labels else ""
        if isinstance(message, LogLine):
            self._reporter.emit(dataclasses.replace(message, text=f"{label}{message.text}"))
        elif isinstance(message, Sequence):
            self._reporter.pass_on([f"{label}{line}" for line in message])
            self._reporter.flush()
        else:
            self._reporter.emit(message)

    def _stop(self) -> None:
        """End all steps that still run, and wait for that."""
        self._cancellation.ended = True
        while self._threads:
            try:
                name, message = self._messages.get(timeout=_TICK)
            except Empty:
                # A cancel can come between a message's arrival and its use.
                self._threads = {name: thread for name, thread in self._threads.items() if thread.is_alive()}
                continue
            if isinstance(message, _End):
                # Gone already when it ended between the look for messages and the look for threads.
                if thread := self._threads.pop(name, None):
                    thread.join()
            else:
                self._unread.release()
                # The log may be what failed.
                with suppress(Exception):
                    self._pass_on(name, message)
        for stack, _ in self._stages.values():
            with suppress(RunCancelled), stack:
                raise RunCancelled
