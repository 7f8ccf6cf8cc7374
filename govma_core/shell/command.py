"""One command of the operators, run to its end: its output goes into the run's log, and nothing it started stays."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from govma_core.errors import CommandError
from govma_core.language import tr
from govma_core.reporting import Reporter
from govma_core.shell.running import running
from govma_core.text import LineSplitter


def execute(script: str, what: str, environment: Mapping[str, str], reporter: Reporter, timeout: int) -> int:
    """Run a shell script as who we are, and give its exit code (128 + n for a signal).

    `what` names it in sentences. CommandError when it cannot be started, or does not end within `timeout` seconds;
    RunCancelled when somebody asked.
    """
    ends = time.monotonic() + timeout
    splitter = LineSplitter()
    try:
        with running(script, Path("/"), _environment(environment), {}, reporter.cancellation) as shell:
            while (chunk := shell.receive()) != b"":
                if chunk:
                    _pass_on(splitter.feed(chunk), reporter)
                    reporter.flush()
                reporter.cancellation.check()
                if time.monotonic() >= ends:
                    raise CommandError(
                        tr("{what} did not end within {timeout} s and was stopped.", what=what, timeout=timeout)
                    )
            _pass_on(list(splitter.close()), reporter)
        return shell.code
    except OSError as error:
        raise CommandError(tr("{what} could not be started: {strerror}.", what=what, strerror=error.strerror)) from None


def _pass_on(lines: list[str], reporter: Reporter) -> None:
    if lines:
        reporter.output(*lines)


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment: of ours only what every program needs."""
    kept = {
        name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "DOCKER_HOST") if name in os.environ
    }
    return {"PATH": os.defpath, "HOME": "/root"} | kept | dict(more)
