"""Git commands with a time limit, on a checkout opened with GitPython; what git says becomes a sentence."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO

import git
from gitdb.exc import ODBError

from govma_core.errors import SourceError
from govma_core.fs import safefs, trees
from govma_core.text.clean import clean_line
from govma_core.text.language import tr

# `git rev-parse --local-env-vars`: set in a git hook, say, they would lead git to another repository or index.
_LOCAL_VARIABLES = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_CONFIG", "GIT_CONFIG_COUNT", "GIT_CONFIG_PARAMETERS",
    "GIT_DIR", "GIT_GRAFT_FILE", "GIT_IMPLICIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_REPLACE_REF_BASE", "GIT_SHALLOW_FILE", "GIT_WORK_TREE",
)  # fmt: skip

# Hooks and monitors of the checkout are programs that another user may have put there; we may be root.
_NO_PROGRAMS = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false")
# An index or a reference that a power cut leaves empty stops every deploy that follows (git-config(1), core.fsync).
_DURABLE = ("-c", "core.fsync=all")
_PATIENCE = 2.0

Waiting = Callable[[], AbstractContextManager[None]]


class GitFailedError(SourceError):
    """A git command ended with an exit code that is not 0."""

    def __init__(self, message: str, code: int) -> None:
        self.code = code
        super().__init__(message)


@contextmanager
def readable(directory: Path) -> Iterator[None]:
    """Turn what GitPython raises over a repository that it cannot read into a SourceError."""
    try:
        yield
    except (git.GitError, ODBError, ValueError) as error:
        words = clean_line(" ".join(str(error).split()))[:300]
        raise SourceError(
            tr(
                "The repository in {directory} cannot be read: {words}. `git status` and `git fsck` there say more.",
                directory=directory,
                words=words,
            )
        ) from error


class GitCommands:
    """Runs git in one checkout. Each command has a session of its own, so that its helpers end with it."""

    def __init__(self, directory: Path, timeout: int) -> None:
        for name in _LOCAL_VARIABLES:
            os.environ.pop(name, None)
        try:
            self.repo = git.Repo(directory)
        except (git.InvalidGitRepositoryError, git.NoSuchPathError):
            raise SourceError(
                tr(
                    "source_dir ({directory}) is not a git checkout. Clone the site's repository there.",
                    directory=directory,
                )
            ) from None
        except git.GitCommandNotFound:
            raise SourceError(tr("There is no git on this machine. Install it: apt-get install git.")) from None
        self._directory = directory
        self._timeout = timeout

    def run(self, *arguments: str, waiting: Waiting = nullcontext) -> str:
        """Run git and give what it printed; SourceError with git's own words when it fails or takes too long.

        `waiting` frames the time it runs: a request to cancel may raise in there, so only for commands that change
        nothing in the checkout.
        """
        return self._run(arguments, subprocess.PIPE, waiting).decode("utf-8", "surrogateescape")

    def sha(self, name: str) -> str:
        """Return the commit that a name means, '' for none."""
        try:
            return self.run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}").strip()
        except GitFailedError as error:
            if error.code == 1:
                return ""
            raise

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Tell whether all of `older` is in `newer`; both have to be there."""
        try:
            self.run("merge-base", "--is-ancestor", older, newer)
        except GitFailedError as error:
            if error.code == 1:
                return False
            raise
        return True

    def run_into(self, file: IO[bytes], *arguments: str) -> None:
        """Run git with what it prints going to a file."""
        self._run(arguments, file.fileno(), nullcontext)

    def _run(self, arguments: tuple[str, ...], stdout: int, waiting: Waiting) -> bytes:
        process = subprocess.Popen(
            ["git", *_NO_PROGRAMS, *_DURABLE, *arguments],
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
                _end(process)
                if isinstance(error, subprocess.TimeoutExpired):
                    raise SourceError(
                        tr(
                            "{shown} in {directory} did not end within {timeout} s (git_timeout). Look whether the "
                            "remote can be reached, then try again.",
                            shown=shown,
                            directory=self._directory,
                            timeout=self._timeout,
                        )
                    ) from None
                raise
        if process.returncode != 0:
            raise GitFailedError(
                tr(
                    "{shown} failed in {directory}: {last_words}",
                    shown=shown,
                    directory=self._directory,
                    last_words=_last_words(err),
                ),
                process.returncode,
            )
        return out or b""


def _end(process: subprocess.Popen[bytes]) -> None:
    """End git with its helpers, which hold the pipes open: asked first, so that it removes its locks."""
    with suppress(subprocess.TimeoutExpired, ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(_PATIENCE)
    # Its own session: one that ended has left its group to its helpers, if to anybody.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def _environment() -> dict[str, str]:
    """Git must never ask anything: there is no terminal to answer at."""
    ours = {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", "GIT_ASKPASS": "true", "SSH_ASKPASS": "true"}
    ssh = {"GIT_SSH_COMMAND": "ssh -o BatchMode=yes -o ConnectTimeout=20"}
    return ssh | os.environ | ours


def _last_words(err: bytes | None) -> str:
    lines = [clean_line(line.strip()) for line in (err or b"").decode("utf-8", "replace").splitlines()]
    kept = [line for line in lines if line and not line.startswith("hint:")][-6:]
    return "; ".join(kept) or tr("it said nothing")


_FILES = ("config", "config.worktree")
_FOLDERS = ("modules", "worktrees")
"""Folders of a git directory in which there are others, each with a configuration of its own."""

_LEFT_OUT = ("logs", "FETCH_HEAD")
"""What quotes the commands that were given, or the URLs: `pull https://user:token@…`."""

_KEPT = re.compile(
    r"core\.(?!sshcommand|askpass|gitproxy)\w+|extensions\.\w+|remote\..+\.(url|fetch)|branch\..+\.(remote|merge)",
    re.DOTALL,
)
_WITH_USER = re.compile(r"([a-z][a-z0-9+.-]*://)(?:[^/]*@)?([^?#]*)", re.IGNORECASE)


def clean(tree_fd: int, owner: tuple[int, int] | None) -> None:
    """Leave of the git directory in a tree that is ours alone, if it has one, the configuration that may be seen.

    SourceError when git cannot read it.
    """
    if safefs.is_directory(tree_fd, ".git"):
        with safefs.opened(tree_fd, ".git") as git:
            _clean(git, owner)


def _clean(git: int, owner: tuple[int, int] | None) -> None:
    for name in _FILES:
        found = safefs.lstat(git, name)
        # A link leads to what was not copied: the build reads it with its own rights, if at all.
        if found is not None and stat.S_ISREG(found.st_mode):
            _replace(git, name, "".join(_lines(_read(git, name))), owner)
    for name in _LEFT_OUT:
        trees.remove(git, name)
    for folder in _FOLDERS:
        if safefs.is_directory(git, folder):
            with safefs.opened(git, folder) as inside:
                _clean_below(inside, owner)


def _clean_below(fd: int, owner: tuple[int, int] | None) -> None:
    for entry in safefs.entries(fd):
        if entry.is_dir(follow_symlinks=False):
            with safefs.opened(fd, entry.name) as child:
                # The name of a module may be a path.
                (_clean if safefs.lstat(child, "HEAD") else _clean_below)(child, owner)


def _read(git: int, name: str) -> str:
    file, _ = safefs.open_regular(git, name)
    try:
        command = ["git", "config", "--file", "-", "--no-includes", "--list", "-z"]
        done = subprocess.run(command, stdin=file, capture_output=True, check=False)
    finally:
        os.close(file)
    if done.returncode != 0:
        raise SourceError(
            tr("The checkout's .git/{name} cannot be read. `git config --list` there says more.", name=name)
        )
    return done.stdout.decode("utf-8", "surrogateescape")


def _lines(listed: str) -> Iterator[str]:
    for entry in listed.split("\0"):
        key, _, value = entry.partition("\n")
        if not _KEPT.fullmatch(key):
            continue
        section, _, rest = key.partition(".")
        inner, _, variable = rest.rpartition(".")
        if "://" in inner:
            # `git fetch --filter=… URL` makes a section of that name.
            continue
        if variable in ("url", "remote"):
            value = without_user(value)
        yield f"[{section} {_quoted(inner)}]\n" if inner else f"[{section}]\n"
        yield f"\t{variable} = {_quoted(value)}\n" if "\n" in entry else f"\t{variable}\n"


def without_user(url: str) -> str:
    """Return a remote's URL without a user, a password or what follows a question mark; a path as it is."""
    match = _WITH_USER.match(url)
    return match[1] + match[2] if match else url


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _replace(git: int, name: str, text: str, owner: tuple[int, int] | None) -> None:
    os.unlink(name, dir_fd=git)
    with os.fdopen(os.open(name, safefs.CREATE_FLAGS, 0o644, dir_fd=git), "wb") as file:
        file.write(text.encode("utf-8", "surrogateescape"))
        if owner is not None:
            os.fchown(file.fileno(), *owner)
