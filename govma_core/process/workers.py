"""Work in forked processes, which answer through pipes and never outlive their parent."""

from __future__ import annotations

import ctypes
import os
import pickle
import selectors
import signal
import struct
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, TypeVar

from govma_core.errors import GovmaError
from govma_core.text.language import tr

MOST_PIECES = 1000
"""Pieces whose numbers fit into a pipe of one page, which is all that some users get."""

_PR_SET_PDEATHSIG = 1
_NUMBER = struct.Struct("=I")
_SECONDS = 0.2
"""The least time between two reports of a worker."""

Progress = TypeVar("Progress")
Result = TypeVar("Result")


class Forked:
    """A child that runs `work(answer)`, `answer` being the descriptor it writes to; `pipe` is where we read that.

    Only for processes with one thread. The child inherits every descriptor, the lock's among them: the lock is free
    when it has ended, too.
    """

    def __init__(self, work: Callable[[int], None]) -> None:
        parent = os.getpid()
        self.pipe, answer = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            _run_child(parent, answer, work)
        os.close(answer)

    def read_all(self) -> bytes:
        """Return the whole answer, when the child has ended."""
        with os.fdopen(self.pipe, "rb") as pipe:
            self.pipe = -1
            answer = pipe.read()
        self._wait()
        return answer

    def end(self) -> None:
        """End the child if it still works."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            if self.pipe >= 0:
                os.close(self.pipe)
                self.pipe = -1
            self._wait()

    def _wait(self) -> None:
        pid, self._pid = self._pid, 0
        os.waitpid(pid, 0)


def _run_child(parent: int, answer: int, work: Callable[[int], None]) -> None:
    """Work, and end; never returns."""
    code = 1
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:
            work(answer)
            code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def write_all(fd: int, content: bytes) -> None:
    """Write everything, however much a pipe takes at once."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(fd, rest) :]


def run_workers(
    pieces: Sequence[str],
    workers: int,
    work: Callable[[Iterator[str], Callable[[Progress], None]], Result],
    show: Callable[[int, Progress], None] = lambda number, progress: None,
    step: Callable[[], None] = lambda: None,
) -> list[Result]:
    """Run `work(pieces, report)` in each of `workers` processes, and return the results.

    `work` takes pieces from the iterator as long as there are any. What it reports (as often as it likes, a few times a
    second gets through) goes to `show` here, with the worker's number. `show` and `step`, which is called several times
    a second, may raise, which ends the processes. An exception of a worker is raised here; GovmaError when one was
    killed. Progress and results are pickled.
    """
    if len(pieces) > MOST_PIECES:
        raise ValueError(tr("{count} pieces are more than a pipe holds", count=len(pieces)))
    # A read from a pipe is whole or not at all: the process that reads the next number has the piece.
    queue, filling = os.pipe()
    write_all(filling, b"".join(map(_NUMBER.pack, range(len(pieces)))))
    os.close(filling)
    children: list[Forked] = []
    try:
        for _ in range(workers):
            children.append(Forked(lambda answer: _work(answer, queue, pieces, work)))
        return _collect(children, show, step)
    finally:
        os.close(queue)
        for child in children:
            child.end()


def _work(
    answer: int,
    queue: int,
    pieces: Sequence[str],
    work: Callable[[Iterator[str], Callable[[Any], None]], Any],
) -> None:
    last = 0.0

    def send(kind: Literal["progress", "result", "error"], value: object) -> None:
        write_all(answer, pickle.dumps((kind, value)))

    def report(progress: object) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _SECONDS:
            last = now
            send("progress", progress)

    def take() -> Iterator[str]:
        while record := os.read(queue, _NUMBER.size):
            yield pieces[_NUMBER.unpack(record)[0]]

    try:
        send("result", work(take(), report))
    except (OSError, GovmaError) as error:
        send("error", error)
    except Exception as error:
        # A fault of this program: its traceback belongs to this process.
        send("error", RuntimeError(f"{type(error).__name__}: {error}"))
        raise


def _collect(children: Sequence[Forked], show: Callable[[int, Any], None], step: Callable[[], None]) -> list[Any]:
    results: dict[int, Any] = {}
    with selectors.DefaultSelector() as selector:
        for number, child in enumerate(children):
            # What is buffered behind a message is read at the next one, at the latest at the end of the pipe.
            pipe = os.fdopen(child.pipe, "rb", closefd=False)
            selector.register(pipe, selectors.EVENT_READ, (number, pipe))
        while selector.get_map():
            step()
            for key, _ in selector.select(_SECONDS):
                number, pipe = key.data
                try:
                    kind, value = pickle.load(pipe)  # noqa: S301  # of our own process
                except (EOFError, pickle.UnpicklingError):
                    # It has ended; a message that it did not finish is none.
                    selector.unregister(pipe)
                    continue
                if kind == "error":
                    raise value
                if kind == "result":
                    results[number] = value
                else:
                    show(number, value)
    if len(results) < len(children):
        raise GovmaError("A process of the run was killed. Is there enough memory? Start it again: it does the rest.")
    return [results[number] for number in range(len(children))]
