"""The shell of a local build: started, its output as it comes, and the end of everything it left running."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from govma_core.errors import CommandError
from govma_core.process import descendants
from govma_core.reporting import Cancellation, Reporter
from govma_core.text.clean import LineSplitter

TICK = 0.25
"""Seconds one waits for output at a time; a request from another thread is noticed that late at most."""

CHUNK = 64 * 1024
"""Bytes that are read at a time."""


def identity(uid: int, gid: int) -> dict[str, Any]:
    """Return the arguments of Popen that make a process this user's; none when we are not root and stay who we are."""
    return {"user": uid, "group": gid, "extra_groups": []} if os.geteuid() == 0 else {}


class LocalProcess:
    """A running shell with all that came from it."""

    def __init__(
        self, process: subprocess.Popen[bytes], below: descendants.Descendants, cancellation: Cancellation
    ) -> None:
        self._process = process
        self._descendants = below
        self._cancellation = cancellation
        self._pipe = process.stdout.fileno() if process.stdout else -1
        self._exit = os.pidfd_open(process.pid)
        self._poll = select.poll()
        for fd in (self._pipe, self._exit):
            self._poll.register(fd, select.POLLIN)
        self._watched = {self._pipe, self._exit}

    @property
    def code(self) -> int:
        """Return the exit code once it has ended; 128 + n for a signal, as a shell would."""
        code = self._process.returncode
        return code if code >= 0 else 128 - code

    def receive(self) -> bytes | None:
        """Return the next bytes of output, None when there were none for a TICK, b"" when all has ended."""
        if not self._watched:
            return b""
        with self._cancellation.interruptible():
            ready = {fd for fd, _ in self._poll.poll(TICK * 1000)}
        if self._exit in ready:
            # What the shell left running goes first: it may hold the pipe for ever, or fill it.
            self._forget(self._exit)
            self.end()
        if self._pipe in ready:
            chunk = os.read(self._pipe, CHUNK)
            if chunk:
                return chunk
            self._forget(self._pipe)
        return None

    def pass_on(
        self,
        reporter: Reporter,
        timeout: float,
        look: Callable[[str], None] = lambda line: None,
        noise: re.Pattern[str] | None = None,
    ) -> str:
        """Hand what it prints to a reporter until all has ended; return the last line that has something in it.

        Lines with `noise` in them are left out. `look` is called with each other one, and may raise. RunCancelled when
        the run is to be cancelled, TimeoutError after `timeout` seconds.
        """
        until = time.monotonic() + timeout
        splitter, last = LineSplitter(), ""
        while True:
            chunk = self.receive()
            lines = list(splitter.close()) if chunk == b"" else list(splitter.feed(chunk or b""))
            if noise:
                lines = [line for line in lines if not noise.search(line)]
            if lines:
                reporter.output(*lines)
                last = next((line.strip() for line in reversed(lines) if line.strip()), last)
                for line in lines:
                    look(line)
            if chunk == b"":
                return last
            reporter.flush()
            reporter.cancellation.check()
            if time.monotonic() >= until:
                raise TimeoutError

    def _forget(self, fd: int) -> None:
        self._poll.unregister(fd)
        self._watched.discard(fd)

    def end(self) -> None:
        """Kill what still runs; CommandError when that cannot be done."""
        kill_group(self._process)
        self._descendants.end()

    def close(self) -> None:
        """Let go of the descriptor that watched the shell."""
        os.close(self._exit)


@contextmanager
def running(
    script: str, directory: Path, environment: Mapping[str, str], who: dict[str, Any], cancellation: Cancellation
) -> Iterator[LocalProcess]:
    """Run `sh -c script`; when the block ends, neither the shell nor anything it started is there any more.

    OSError when it cannot be started.
    """
    with (
        descendants.contained() as below,
        subprocess.Popen(
            ["sh", "-c", script],
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            start_new_session=True,
            umask=0o022,
            **who,
        ) as process,
    ):
        try:
            shell = LocalProcess(process, below, cancellation)
            try:
                yield shell
            finally:
                shell.close()
        finally:
            kill_group(process)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the shell's process group and wait for the shell, unless that was done before."""
    if process.returncode is None:
        # Not waited for yet, so the number of the group cannot be that of another one.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def execute(script: str, what: str, environment: Mapping[str, str], reporter: Reporter, timeout: int) -> int:
    """Run a shell script as who we are, and give its exit code (128 + n for a signal).

    `what` names it in sentences. CommandError when it cannot be started, or does not end within `timeout` seconds;
    RunCancelled when the run is to be cancelled.
    """
    try:
        with running(script, Path("/"), _environment(environment), {}, reporter.cancellation) as shell:
            shell.pass_on(reporter, timeout)
        return shell.code
    except TimeoutError:
        raise CommandError(
            "{what} did not end within {timeout} s and was stopped.", what=what, timeout=timeout
        ) from None
    except OSError as error:
        raise CommandError("{what} could not be started: {strerror}.", what=what, strerror=error.strerror) from None


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment: of ours only what every program needs."""
    inherited = {
        name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "DOCKER_HOST") if name in os.environ
    }
    return {"PATH": os.defpath, "HOME": "/root"} | inherited | dict(more)
