"""Git commands with a time limit, on a checkout opened with GitPython; what git says becomes a sentence."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO

import git

from govma_core.errors import SourceError
from govma_core.text import clean_line

Waiting = Callable[[], AbstractContextManager[None]]


class GitCommands:
    """Runs git in one checkout. Each command has a session of its own, so that its helpers end with it."""

    def __init__(self, directory: Path, timeout: int) -> None:
        try:
            self.repo = git.Repo(directory)
        except (git.InvalidGitRepositoryError, git.NoSuchPathError):
            raise SourceError(
                f"source_dir ({directory}) is not a git checkout. Clone the site's repository there."
            ) from None
        except git.GitCommandNotFound:
            raise SourceError("There is no git on this machine. Install it: apt-get install git.") from None
        self._directory = directory
        self._timeout = timeout

    def run(self, *arguments: str, waiting: Waiting = nullcontext) -> str:
        """Run git and give what it printed; SourceError with git's own words when it fails or takes too long.

        `waiting` frames the time it runs: a request to cancel may raise in there, so only for commands that change
        nothing in the checkout.
        """
        return self._run(arguments, subprocess.PIPE, waiting).decode("utf-8", "surrogateescape")

    def run_into(self, file: IO[bytes], *arguments: str) -> None:
        """Run git with what it prints going to a file."""
        self._run(arguments, file.fileno(), nullcontext)

    def _run(self, arguments: tuple[str, ...], stdout: int, waiting: Waiting) -> bytes:
        process = subprocess.Popen(
            ["git", *arguments],
            cwd=self._directory,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        shown = f"git {arguments[0]}"
        with process:
            try:
                with waiting():
                    out, err = process.communicate(timeout=self._timeout)
            except BaseException as error:
                # Its own session: ssh and other helpers hold the pipes open and would keep us waiting.
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                if isinstance(error, subprocess.TimeoutExpired):
                    raise SourceError(
                        f"{shown} in {self._directory} did not end within {self._timeout} s (git_timeout). "
                        "Look whether the remote can be reached, then try again."
                    ) from None
                raise
        if process.returncode != 0:
            raise SourceError(f"{shown} failed in {self._directory}: {_last_words(err)}")
        return out or b""


def _environment() -> dict[str, str]:
    """Git must never ask anybody anything: there is nobody to answer."""
    ours = {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", "GIT_ASKPASS": "true", "SSH_ASKPASS": "true"}
    theirs = {name: value for name, value in os.environ.items() if name not in ("GIT_DIR", "GIT_WORK_TREE")}
    theirs.setdefault("GIT_SSH_COMMAND", "ssh -o BatchMode=yes -o ConnectTimeout=20")
    return theirs | ours


def _last_words(err: bytes | None) -> str:
    lines = [clean_line(line.strip()) for line in (err or b"").decode("utf-8", "replace").splitlines()]
    kept = [line for line in lines if line and not line.startswith("hint:")][-6:]
    return "; ".join(kept) or "it said nothing."
