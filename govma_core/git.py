"""Git commands with a time limit, on a checkout opened with GitPython; errors are sentences with git's own words."""

from __future__ import annotations

import copy
import os
import pwd
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import cached_property
from pathlib import Path

from govma_core.errors import SourceError
from govma_core.text.clean import clean_line
from govma_core.text.language import tr

# `git rev-parse --local-env-vars`: set in a git hook, say, they would lead git to another repository or index. But for
# GIT_CONFIG_COUNT, which is a way to give the service its identity.
_LOCAL_VARIABLES = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_CONFIG", "GIT_CONFIG_PARAMETERS",
    "GIT_DIR", "GIT_GRAFT_FILE", "GIT_IMPLICIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_REPLACE_REF_BASE", "GIT_SHALLOW_FILE", "GIT_WORK_TREE",
)  # fmt: skip

# Hooks and monitors of the checkout are programs that another user may have put there; we may be root.
_NO_PROGRAMS = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false")
# An index or a reference that a power cut leaves empty stops every deploy that follows (git-config(1), core.fsync).
_DURABLE = ("-c", "core.fsync=all")
_PATIENCE = 2.0
_SECRET_IN_URL = re.compile(r"([?&][^=&\s]*(?:token|secret|key|pass|auth|sig)[^=&\s]*=)[^&\s'\"]+", re.IGNORECASE)
"""A secret in the query of a remote's URL; one in its user part git leaves out itself."""
_SSH = re.compile(r"(\S*/)?ssh(\s|$)")
_BATCH = "-o BatchMode=yes -o ConnectTimeout=20"

Waiting = Callable[[], AbstractContextManager[None]]


class GitFailedError(SourceError):
    """A git command ended with an exit code that is not 0."""

    def __init__(self, message: str, code: int) -> None:
        self.code = code
        super().__init__(message)


class GitCommands:
    """Runs git in one checkout. Each command has a session of its own, so that its helpers end with it."""

    def __init__(self, directory: Path, timeout: int) -> None:
        if shutil.which("git") is None:
            # GitPython would fail to load.
            raise SourceError("There is no git on this machine. Install it: apt-get install git.")
        # GitPython takes long to load, and a server that is not asked about the checkout needs none of it.
        import git

        for name in _LOCAL_VARIABLES:
            os.environ.pop(name, None)
        try:
            self.repo = git.Repo(directory)
        except (git.InvalidGitRepositoryError, git.NoSuchPathError):
            raise SourceError(
                "source_dir ({directory}) is not a git checkout. Clone the site's repository there.",
                directory=directory,
            ) from None
        self._directory = directory
        self._timeout = timeout
        self._variables: dict[str, str] = {}
        self._options: list[str] = []

    def elsewhere(
        self,
        directory: Path,
        variables: Mapping[str, str],
        settings: Mapping[str, str] | None = None,
        *,
        own_identity: bool = False,
    ) -> GitCommands:
        """Return commands that run in another directory with these variables and settings of git.

        core.sshCommand is that of this checkout, or the directory's own.
        """
        commands = copy.copy(self)
        commands._directory, commands._variables = directory, dict(variables)
        commands._options = [part for name, value in (settings or {}).items() for part in ("-c", f"{name}={value}")]
        if own_identity:
            commands.__dict__.pop("_environment", None)
        return commands

    def run(self, *arguments: str, waiting: Waiting = nullcontext) -> str:
        """Run git and return what it printed; SourceError with git's own words when it fails or takes too long.

        `waiting` frames the time it runs: a request to cancel may raise in there, so only for commands that change
        nothing in the checkout.
        """
        return self._run(arguments, waiting).decode("utf-8", "surrogateescape")

    def output(self, *arguments: str) -> bytes:
        """Run git and return the bytes that it printed."""
        return self._run(arguments, nullcontext)

    def entries(self, *arguments: str) -> list[str]:
        """Run a command that ends each entry with a null byte (-z), and return the entries."""
        return [entry for entry in self.run(*arguments).split("\0") if entry]

    def sha(self, name: str) -> str:
        """Return the commit that a name means, '' for none."""
        try:
            return self.run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}").strip()
        except GitFailedError as error:
            if error.code == 1:
                return ""
            raise

    def refs(self, prefix: str) -> list[str]:
        """Return the references that begin so, by their whole names."""
        return self.run("for-each-ref", "--format=%(refname)", prefix).split()

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Tell whether all of `older` is in `newer`; both have to be there."""
        try:
            self.run("merge-base", "--is-ancestor", older, newer)
        except GitFailedError as error:
            if error.code == 1:
                return False
            raise
        return True

    @cached_property
    def _environment(self) -> dict[str, str]:
        # For all commands: any of them may fetch what a partial clone has not got.
        query = ["git", "config", "--get", "core.sshCommand"]
        variables = environment()
        result = subprocess.run(query, cwd=self._directory, env=variables, capture_output=True, check=False)
        return environment(os.fsdecode(result.stdout).strip())

    def _run(self, arguments: tuple[str, ...], waiting: Waiting) -> bytes:
        process = subprocess.Popen(
            ["git", *_NO_PROGRAMS, *_DURABLE, *self._options, *arguments],
            cwd=self._directory,
            env=self._environment | self._variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        command = f"git {arguments[0]}"
        with process:
            try:
                with waiting():
                    out, err = process.communicate(timeout=self._timeout)
            except BaseException as error:
                _end(process)
                if isinstance(error, subprocess.TimeoutExpired):
                    raise SourceError(
                        "{shown} in {directory} did not end within {timeout} s (git_timeout). Look whether the "
                        "remote can be reached, then try again.",
                        shown=command,
                        directory=self._directory,
                        timeout=self._timeout,
                    ) from None
                raise
        if b"dubious ownership" in err:
            raise self._foreign()
        if process.returncode != 0:
            raise GitFailedError(
                tr(
                    "{shown} failed in {directory}: {last_words}",
                    shown=command,
                    directory=self._directory,
                    last_words=_last_words(err),
                ),
                process.returncode,
            )
        return out

    def _foreign(self) -> SourceError:
        """Return the error for a checkout that is another user's, or a part of it: git would advise to trust it."""
        path = self._directory
        for part in (path, path / ".git", Path(self.repo.git_dir)):
            if part.lstat().st_uid != os.geteuid():
                path = part
                break
        return SourceError(
            "{path} belongs to uid {owner}, and git trusts no checkout of another user than its own (uid {geteuid}). "
            "Give it to that user: chown -R {geteuid}:{getegid} {path}",
            path=path,
            owner=path.lstat().st_uid,
            geteuid=os.geteuid(),
            getegid=os.getegid(),
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    """End git with its helpers, which hold the pipes open: asked first, so that it removes its locks."""
    with suppress(subprocess.TimeoutExpired, ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(_PATIENCE)
    # Its own session: once git has ended, the group holds its helpers at most.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def environment(configured_ssh: str = "") -> dict[str, str]:
    """Return the environment of this server's git: its own identity, and no questions, as nobody is there to answer.

    `configured_ssh` is core.sshCommand, which git uses where no variable names another command.
    """
    # Without optional locks looking at the checkout cannot stop a run that moves it at this moment.
    variables = {"HOME": _home(), "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
    if "SSH_ASKPASS_REQUIRE" not in os.environ:
        # Without `force` it is a window, for an operator in front of it.
        variables |= {"SSH_ASKPASS": "", "SSH_ASKPASS_REQUIRE": "never"}
    ssh = os.environ.get("GIT_SSH_COMMAND") or configured_ssh or ("" if os.environ.get("GIT_SSH") else "ssh")
    if _SSH.match(ssh):
        # At the end: of an option that is there twice, ssh takes the first. Other programs may not know them.
        variables["GIT_SSH_COMMAND"] = f"{ssh} {_BATCH}"
    return os.environ | variables


def _home() -> str:
    """Return the home directory: HOME, unless it is not set (a unit without User=) or another user's (sudo)."""
    home = os.environ.get("HOME", "")
    with suppress(OSError):
        if home and Path(home).stat().st_uid in (0, os.geteuid()):
            return home
    with suppress(KeyError):
        return pwd.getpwuid(os.geteuid()).pw_dir
    return home


def _last_words(err: bytes) -> str:
    lines = [clean_line(line.strip()) for line in err.decode("utf-8", "replace").splitlines()]
    words = [_SECRET_IN_URL.sub(r"\1***", line) for line in lines if line and not line.startswith("hint:")][-6:]
    return "; ".join(words) or tr("it said nothing")
