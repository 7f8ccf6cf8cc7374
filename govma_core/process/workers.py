"""A piece of work in a forked process, which answers through a pipe and never outlives its parent."""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import signal
import struct
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from govma_core.errors import GovmaError, UnsafeTreeError
from govma_core.text.language import tr

_PR_SET_PDEATHSIG = 1


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
            _be_child(parent, answer, work)
        os.close(answer)

    def read_all(self) -> bytes:
        """Return the whole answer, when the child has ended."""
        with os.fdopen(self.pipe, "rb") as pipe:
            self.pipe = -1
            answer = pipe.read()
        self._wait()
        return answer

    def close(self) -> bool:
        """Wait for a child whose answer was read to its end; False when it failed or was killed."""
        os.close(self.pipe)
        self.pipe = -1
        return self._wait() == 0

    def end(self) -> None:
        """End the child if it still works."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            if self.pipe >= 0:
                os.close(self.pipe)
                self.pipe = -1
            self._wait()

    def _wait(self) -> int:
        pid, self._pid = self._pid, 0
        return os.waitpid(pid, 0)[1]


def write_all(fd: int, content: bytes) -> None:
    """Write everything, however much a pipe takes at once."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _be_child(parent: int, answer: int, work: Callable[[int], None]) -> None:
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


_NUMBER = struct.Struct("=I")
MOST_PIECES = 1000
"""Pieces whose numbers fit into a pipe of one page, which is all that some users get."""
_SECONDS = 0.2

Tell = Callable[[dict[str, Any]], None]
Work = Callable[[Iterator[str], Tell], dict[str, Any]]


def run_workers(
    pieces: Sequence[str],
    workers: int,
    work: Work,
    told: Callable[[int, dict[str, Any]], None],
    step: Callable[[], None] = lambda: None,
) -> list[dict[str, Any]]:
    """Run `work(pieces, tell)` in each of `workers` processes; give what each came to.

    `work` takes pieces from the iterator as long as there are any. What it tells now and then (it may as often as it
    likes) goes to `told` here, with the worker's number; that may raise, which ends the processes. `step` is called
    while nothing is told, and may raise, too. An OSError or UnsafeTreeError in a worker is raised here; GovmaError when
    one was killed.
    """
    if len(pieces) > MOST_PIECES:
        raise ValueError(tr("{count} pieces are more than a pipe holds", count=len(pieces)))
    # A read from a pipe is whole or not at all: whoever reads the next number has the piece.
    taking, giving = os.pipe()
    write_all(giving, b"".join(_NUMBER.pack(number) for number in range(len(pieces))))
    os.close(giving)
    children: list[Forked] = []
    try:
        for _ in range(workers):
            children.append(Forked(lambda answer: _work(answer, taking, pieces, work)))
        return _collect(children, told, step)
    finally:
        os.close(taking)
        for child in children:
            child.end()


def _work(answer: int, taking: int, pieces: Sequence[str], work: Work) -> None:
    last = 0.0

    def send(message: dict[str, Any]) -> None:
        write_all(answer, json.dumps(message).encode() + b"\n")

    def tell(message: dict[str, Any]) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _SECONDS:
            last = now
            send({"told": message})

    def taken() -> Iterator[str]:
        while record := os.read(taking, _NUMBER.size):
            yield pieces[_NUMBER.unpack(record)[0]]

    try:
        send({"done": work(taken(), tell)})
    except OSError as error:
        name = os.fsdecode(error.filename) if error.filename is not None else None
        send({"system": [error.errno, error.strerror, name]})
    except UnsafeTreeError as error:
        send({"unsafe": str(error)})
    except Exception as error:  # a fault of this program: told as what it is, with the traceback where it belongs
        send({"fault": f"{type(error).__name__}: {error}"})
        raise


def _collect(
    children: Sequence[Forked], told: Callable[[int, dict[str, Any]], None], step: Callable[[], None]
) -> list[dict[str, Any]]:
    results: dict[int, dict[str, Any]] = {}
    held = [b""] * len(children)
    with selectors.DefaultSelector() as selector:
        for number, child in enumerate(children):
            selector.register(child.pipe, selectors.EVENT_READ, number)
        while selector.get_map():
            step()
            for key, _ in selector.select(_SECONDS):
                number = key.data
                block = os.read(key.fd, 1 << 16)
                if not block:
                    selector.unregister(key.fd)
                    continue
                *lines, held[number] = (held[number] + block).split(b"\n")
                for line in lines:
                    message = json.loads(line)
                    if "system" in message:
                        raise OSError(*message["system"])
                    if "unsafe" in message:
                        raise UnsafeTreeError(message["unsafe"])
                    if "fault" in message:
                        raise RuntimeError(message["fault"])
                    if "done" in message:
                        results[number] = message["done"]
                    else:
                        told(number, message["told"])
    if len(results) < len(children):
        raise GovmaError(
            tr("A process of the run was killed. Is there enough memory? Start it again: it does the rest.")
        )
    return [results[number] for number in range(len(children))]
