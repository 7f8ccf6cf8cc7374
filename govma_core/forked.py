"""A piece of work in a forked process, which answers through a pipe and never outlives its parent."""

from __future__ import annotations

import ctypes
import os
import signal
import traceback
from collections.abc import Callable

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
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:
            work(answer)
            code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)
